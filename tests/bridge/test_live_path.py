"""A backtest with a history of advice equals the live path fed candle by candle."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.data.history import load_pair_history
from freqtrade.enums import CandleType, RunMode
from freqtrade.persistence import enable_database_use

from agent_market.decisions.advice import publish
from agent_market.decisions.bias import Bias
from agent_market.decisions.budgets import ENGINE_BUDGETS, parameter_store
from agent_market.decisions.event_mode import EventMode
from agent_market.decisions.strategy_advice import bias_path, event_mode_path
from agent_market.learning.labels import ForwardReturn
from agent_market.settings import load_settings
from tests.bridge.fed_bot import FedBot, replayed, stamp
from tests.conftest import SmallMarket
from tests.decisions.advice_samples import bias_of, event_of
from tests.freqtrade_process import PROJECT
from tests.parity.freqai import config_for

PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
START, END = datetime(2025, 1, 20, tzinfo=UTC), datetime(2025, 1, 20, 12, tzinfo=UTC)
CANDLE = timedelta(minutes=5)
LABEL = "&-forward_return"
COMPARED = [
    "pair", "open_date", "close_date", "is_short", "enter_tag", "exit_reason", "leverage",
    "stake_amount", "max_stake_amount", "amount", "open_rate", "close_rate", "profit_abs",
]  # fmt: skip
Published = tuple[datetime, Bias | EventMode | dict[str, float]]


def _predictions(market: SmallMarket) -> pd.DataFrame:
    """Return predictions of some skill, with candles here and there that have none."""
    tables = []
    for seed, pair in enumerate(PAIRS):
        candles = load_pair_history(
            pair, "5m", market.datadir, candle_type=CandleType.FUTURES, data_format="feather"
        )
        random = np.random.default_rng(seed)
        truth = ForwardReturn(horizon_candles=12, column=LABEL).compute(candles).fillna(0)
        stands = np.ones(len(candles), dtype=int)
        for first in random.integers(0, len(candles), 200):
            stands[first : first + random.integers(1, 7)] = 0  # up to what costs the level
        prediction = 0.6 * truth + random.normal(0, 0.002, len(candles))
        tables.append(
            pd.DataFrame(
                {"pair": pair, "date": candles["date"], LABEL: prediction, "do_predict": stands}
            )
        )
    return pd.concat(tables, ignore_index=True)


def _timeline(seed: int) -> list[Published]:
    """Return advice and budgets by the moment of their publication, at any time of a candle."""
    random = np.random.default_rng(seed)
    seconds = np.cumsum(random.choice([1, 2, 61, 299, 300, 597, 900, 1500], 300))
    moments = [START - timedelta(hours=1, seconds=1) + timedelta(seconds=int(s)) for s in seconds]
    timeline: list[Published] = []
    for number, moment in enumerate(m for m in moments if m < END):
        kind = random.choice(["bias", "bias", "bias", "event", "budgets"])
        if kind == "budgets":
            share = float(random.choice([0.0, 0.05, 0.2, 1.0]))
            timeline.append((moment, {"intraday": share}))
        elif kind == "event":
            values = {
                "position_multiplier": float(random.choice([0.4, 1.5, 3.0])),
                "leverage_multiplier": float(random.choice([0.5, 2.0])),
                "modes": {"trend": bool(random.integers(2)), "long_shot": True},
            }
            timeline.append((moment, event_of(moment, random.choice([0.1, 0.5]), **values)))
        else:
            timeline.append((moment, _bias(moment, random, number)))
    return timeline


def _bias(moment: datetime, random: np.random.Generator, number: int) -> Bias:
    created = moment - timedelta(seconds=int(random.choice([0, 30, 400, -20])))
    bias = bias_of(created, float(random.choice([3, 15, 40])))
    pairs = {
        pair: {
            "direction": int(random.choice([-1, 0, 0, 1])),
            "confidence": float(random.choice([0.0, 0.5])),
            "position_multiplier": float(random.choice([0.0, 0.5, 1.2, 1e9])),
            "leverage": float(random.choice([1.0, 2.0, 3.0])),
            "stop_multiplier": float(random.choice([0.6, 1.0, 1.8])),
        }
        for pair in PAIRS
    }
    content = bias.model_dump() | {"pairs": pairs, "id": f"bias-{number}"}
    return Bias.model_validate(content)


def _config(folder: Path, market: SmallMarket, predictions: Path, **section: Any) -> dict[str, Any]:
    agent_market = {
        "modes": {
            "entry_edge_bps": 4,
            "trend": {"trailing_bps": 60, "cooldown_candles": 3},
            "mean_reversion": {
                "min_score": 0,
                "scale_in": [0.6, 0.4],
                "exits": ["time_stop"],
            },
            "defensive": {"regimes": ["range", "trend"], "turbulence": "any"},
            "crowded_funding_bps": 0.5,
        },
        "sizing": {"cost_bps": 1},
        "regime": {"shock_z": 2.5, "trend_efficiency": 0.12},
        "risk": {"losing_streak": 4, "losing_streak_cooldown_minutes": 30},
        "exits": {"max_holding_candles": 6},
        "flow": {"database_url": f"sqlite:///{predictions.parent / 'parameters.sqlite'}"},
        **section,
    }
    config = config_for(
        folder,
        market.datadir,
        "HybridMultiMode",
        PAIRS,
        _span(),
        {"train_period_days": 1, "feature_parameters": {"label_period_candles": 12}},
        exchange=json.loads(market.config.read_text())["exchange"],
        freqaimodel="RecordedPredictions",
        freqaimodel_path=str(PROJECT / "tests" / "bridge" / "freqaimodels"),
        recorded_predictions=str(predictions),
        agent_market=agent_market,
    )
    return {**config, "runmode": RunMode.BACKTEST}


def _span() -> str:
    return f"{int(START.timestamp())}-{int(END.timestamp())}"


class _Publisher:
    """Publishes what is due, as the commands do."""

    def __init__(self, config: dict[str, Any], timeline: list[Published]) -> None:
        self._settings = load_settings(config)
        self._waiting = list(timeline)
        self._store = parameter_store(self._settings)

    def __call__(self, now: datetime) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            moment, content = self._waiting.pop(0)
            if isinstance(content, dict):
                moments = {"effective_at": moment, "recorded_at": moment}
                self._store.add(ENGINE_BUDGETS, content, who="mo", why="test", **moments)
                continue
            path_of = bias_path if isinstance(content, Bias) else event_mode_path
            path = path_of(self._settings)
            publish(path, content, moment)
            stamp(path, moment)


@pytest.mark.timeout(600)
def test_that_a_backtest_with_a_history_equals_the_live_path_fed_candle_by_candle(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    predictions = tmp_path / "predictions.parquet"
    _predictions(small_market).to_parquet(predictions)
    live = _config(tmp_path / "live", small_market, predictions)
    try:
        ours = FedBot(live, _Publisher(live, _timeline(seed=3))).run()
        state = load_settings(live).state_dir
        past = _config(
            tmp_path / "past",
            small_market,
            predictions,
            bias={"history": str(state / "bias.jsonl")},
            event_mode={"history": str(state / "event_mode.jsonl")},
        )
        theirs = replayed(past)
        plain = replayed(_config(tmp_path / "plain", small_market, predictions))
    finally:
        enable_database_use()
    pd.testing.assert_frame_equal(ours[COMPARED], theirs[COMPARED], rtol=1e-9)
    steps = ours["orders"].map(lambda orders: sum(order["ft_is_entry"] for order in orders))
    assert len(ours) > 10 and ours["enter_tag"].nunique() >= 3 and steps.max() == 2
    assert set(ours["leverage"]) > {1.0}
    assert len(plain) != len(theirs), "the advice changes what is traded"
