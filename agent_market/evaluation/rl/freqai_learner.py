"""FreqAI's own `ReinforcementLearner`, run by a real `freqtrade backtesting` to compare with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.errors import DataError, ModelUnavailable
from agent_market.evaluation.rl.signals import Flags
from agent_market.learning.window_plan import PairPlan
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.rl.env import five_actions

LEARNER = "FreqAI ReinforcementLearner"
_ACTION, _IDENTIFIER = "&-action", "freqai_learner"
_PROJECT = Path(__file__).resolve().parents[3]
_STRATEGY = '''from agent_market.bridge import FeatureHooks


class FreqaiLearner(FeatureHooks):
    """What FreqAI's learner needs beside our features; it trades nothing."""

    timeframe = "5m"
    can_short = True
    stoploss = -0.2
    startup_candle_count = 150

    def __init__(self, config):
        super().__init__(config)
        self.can_short = config.get("trading_mode", "spot") != "spot"

    def feature_engineering_standard(self, dataframe, metadata, **kwargs):
        dataframe = super().feature_engineering_standard(dataframe, metadata, **kwargs)
        for name in ("open", "high", "low", "close"):
            dataframe[f"%-raw_{name}"] = dataframe[name]
        return dataframe

    def set_freqai_targets(self, dataframe, metadata, **kwargs):
        dataframe["&-action"] = 0
        return dataframe

    def populate_indicators(self, dataframe, metadata):
        return self.freqai.start(dataframe, metadata, self)

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
'''


# a section of the user's own model would be laid under ours and reach PPO as arguments
_MODEL = '''from freqtrade.freqai.prediction_models.ReinforcementLearner import ReinforcementLearner


class DocumentedLearner(ReinforcementLearner):
    """FreqAI's learner with the parameters of the documentation, and no others."""

    def __init__(self, **kwargs):
        kwargs["config"]["freqai"]["model_training_parameters"] = {
            "learning_rate": 0.00025, "gamma": 0.9, "verbose": 0
        }
        super().__init__(**kwargs)
'''


def learner_signals(
    plans: Sequence[PairPlan],
    config_paths: Sequence[Path],
    config: Mapping[str, Any],
    folder: Path,
    train_cycles: int,
) -> dict[str, Flags]:
    """Return the signals of FreqAI's learner, trained over the same windows, by pair.

    PPO with the net and the settings of Freqtrade's documentation, the reward it ships, its own
    default of the largest drawdown in training, the same features and raw prices. It knows one
    seed, 42, as FreqAI has it.

    Parameters
    ----------
    plans : sequence of PairPlan
        Their windows must be those of `config`.
    config_paths : sequence of Path
        Freqtrade's configuration files.
    config : mapping
        What they come to, with `timerange` and `datadir`.
    folder : Path
        For its models, predictions and log.
    train_cycles : int
        Passes over the training rows; the documentation has 25.

    Raises
    ------
    ModelUnavailable
        The process failed; its log is named.
    DataError
        It left no prediction of a pair.

    Notes
    -----
    No exchange is asked: a replay of the data directory stands in for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "FreqaiLearner.py").write_text(_STRATEGY)
    (folder / "DocumentedLearner.py").write_text(_MODEL)
    datadir = Path(config["datadir"])
    with launch_replay(datadir) as replay:
        overlay = _overlay(config, folder, replay.url, train_cycles)
        path = folder / "learner.json"
        path.write_text(json.dumps(overlay))
        words = [word for each in (*config_paths, path) for word in ("-c", str(each))]
        words += ["--datadir", str(datadir), "--timerange", str(config["timerange"])]
        log = folder / "backtest.log"
        with log.open("w") as target:
            process = subprocess.run(
                [sys.executable, "-m", "freqtrade", "backtesting", *words, "--cache", "none"],
                env=os.environ | {"PYTHONPATH": str(_PROJECT)},
                stdout=target,
                stderr=subprocess.STDOUT,
                check=False,
            )
    if process.returncode:
        raise ModelUnavailable(
            f"FreqAI's ReinforcementLearner ended with {process.returncode}: see {log}. Install "
            "requirements-rl.txt, or leave it out."
        )
    return {plan.pair: _signals(plan, folder) for plan in plans}


def _overlay(
    config: Mapping[str, Any], folder: Path, url: str, train_cycles: int
) -> dict[str, Any]:
    overlay = ccxt_overlay(url)
    overlay["exchange"]["pair_whitelist"] = list(config["exchange"]["pair_whitelist"])
    overlay["freqai"] = {
        "identifier": _IDENTIFIER,
        "save_backtest_models": False,
        "data_split_parameters": {"test_size": 0.15, "shuffle": False},
        "rl_config": {
            "train_cycles": train_cycles,
            "add_state_info": False,
            "max_trade_duration_candles": 300,
            "max_training_drawdown_pct": 0.8,
            "cpu_count": 1,
            "model_type": "PPO",
            "policy_type": "MlpPolicy",
            "net_arch": [128, 128],
            "model_reward_parameters": {"rr": 1, "profit_aim": 0.025},
        },
    }
    return overlay | {
        "user_data_dir": str(folder),
        "strategy": "FreqaiLearner",
        "strategy_path": str(folder),
        "freqaimodel": "DocumentedLearner",
        "freqaimodel_path": str(folder),
    }


def _signals(plan: PairPlan, folder: Path) -> Flags:
    coin = plan.pair.split("/")[0].lower()
    files = sorted(
        (folder / "models" / _IDENTIFIER).glob(f"backtesting_predictions/cb_{coin}_*.feather")
    )
    if not files:
        raise DataError(f"{folder}: FreqAI's learner left no predictions of {plan.pair}.")
    found = pd.concat([pd.read_feather(file) for file in files]).drop_duplicates("date")
    actions = found.set_index("date")[_ACTION].where(found["do_predict"].to_numpy() == 1)
    whole = actions.reindex(pd.DatetimeIndex(plan.candles["date"])).fillna(0).to_numpy(np.int64)
    return np.asarray(five_actions().flags[whole])
