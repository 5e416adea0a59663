"""Every FreqAI model of ours in real dry runs: it trains, predicts, and goes on from the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent_market.market.replay import launch_replay
from agent_market.market.replay.launch import Replay
from tests.e2e.conftest import PAIRS
from tests.freqtrade_process import PROJECT, Bot, free_port, minute_bot, overlay
from tests.parity.freqai import STRATEGIES, TEMPLATES
from tests.parity.models import CLASSIFIERS, MODELS, PARAMETERS, POLICIES

PAIR = PAIRS[0]
# bots of one group run beside each other: most of their time they wait for a candle
GROUPS = (
    ("CatboostRegressor", "FastLightGBMRegressor", "FastXGBoostRegressor", "StackingRegressor"),
    ("CatboostClassifier", "FastLightGBMClassifier", "MLPRegressor", "PanelLightGBMRegressor"),
    ("LSTMRegressor", "TCNRegressor", "TransformerRegressor"),
    POLICIES,
)
# strategy, its folder, its target
FOR_REGRESSORS = ("FreqaiExampleStrategy", TEMPLATES, "&-s_close")
FOR_CLASSIFIERS = ("UpOrDown", STRATEGIES, "&s-up_or_down")
FOR_POLICIES = ("RLTrader", PROJECT / "strategies", "&-gain")


class ModelBot:
    """The configuration of one model's bot, and its lives, one after the other."""

    def __init__(self, model: str, replay: Replay, folder: Path) -> None:
        self.model = model
        self.folder = folder / model
        self.folder.mkdir(parents=True)
        strategy, home, self.label = _strategy(model)
        self.command = ("trade", "--dry-run", "--strategy", strategy, "--freqaimodel", model)
        self.port = free_port()
        content = self._content(replay, home)
        self.configs = [Path("config.replay.json"), overlay(self.folder / "small.json", content)]

    def start(self, life: str) -> Bot:
        return Bot(self.configs, self.folder / f"{life}.log", self.port, *self.command)

    def predictions(self, bot: Bot) -> dict[str, Any]:
        return bot.predictions(PAIR, "1m", self.label)

    def _content(self, replay: Replay, strategies: Path) -> dict[str, Any]:
        return minute_bot(
            replay.url,
            self.folder,
            self.port,
            [PAIR],
            strategy_path=str(strategies),
            freqai={
                "identifier": "small",
                "live_retrain_hours": 12,
                "feature_parameters": {
                    "include_timeframes": ["1m"],
                    "include_corr_pairlist": [],
                    "include_shifted_candles": 0,
                    "label_period_candles": 2 if self.model in POLICIES else 3,
                },
                "model_training_parameters": PARAMETERS,
            },
        )


def _strategy(model: str) -> tuple[str, Path, str]:
    if model in POLICIES:
        return FOR_POLICIES
    return FOR_CLASSIFIERS if model in CLASSIFIERS else FOR_REGRESSORS


@pytest.fixture(scope="module")
def replay(minute_market: Path) -> Iterator[Replay]:
    # the history is pinned: both lives of a bot see the same
    with launch_replay(minute_market, clock="live", reserve_days=1, epoch=datetime.now(UTC)) as it:
        yield it


def _live(bots: Sequence[ModelBot], life: str, after: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Run bots until each has predicted a candle later than `after`; return what they show."""
    shown = {}
    with ExitStack() as stack:
        running = [(bot, bot.start(life)) for bot in bots]
        for _, process in running:
            stack.callback(process.close)
        for bot, process in running:
            shown[bot.model] = process.wait_for(
                f"a prediction of {bot.model}",
                lambda bot=bot, process=process: _later(
                    bot.predictions(process), after.get(bot.model, "")
                ),
                240,
            )
        for _, process in running:
            process.stop_in_order()
    return shown


def _later(shown: dict[str, Any], date: str) -> dict[str, Any] | None:
    return shown if shown and max(shown) > date else None


def test_that_no_model_is_left_out() -> None:
    assert sorted(model for group in GROUPS for model in group) == list(MODELS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("models", GROUPS, ids="-".join)
def test_that_models_predict_live_and_go_on_from_the_disk_after_a_restart(
    models: tuple[str, ...], replay: Replay, tmp_path: Path
) -> None:
    bots = [ModelBot(model, replay, tmp_path) for model in models]
    first = _live(bots, "first", {})
    newest = {model: max(shown) for model, shown in first.items()}
    second = _live(bots, "second", newest)
    for bot in bots:
        before, after = ((bot.folder / f"{life}.log").read_text() for life in ("first", "second"))
        assert f"{PAIR}: trained on" in before
        assert "No model ready" not in after and "trained on" not in after
        assert "ERROR" not in before + after
        assert first[bot.model].items() <= second[bot.model].items()
        assert None not in second[bot.model].values()
