"""A dry run whose features are those of a file, funding and other pairs among them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_market.features import FeatureSet, write_feature_set
from agent_market.market.replay import launch_replay
from agent_market.market.replay.launch import Replay
from tests.e2e.conftest import PAIRS
from tests.freqtrade_process import Bot, free_port, minute_bot, overlay

CHOSEN = FeatureSet(
    groups=("momentum", "candle", "calendar", "market", "funding"),
    periods=(12,),
    timeframes=("1m",),
    correlated_pairs=(PAIRS[0],),
)


@pytest.fixture(scope="module")
def replay(minute_market: Path) -> Iterator[Replay]:
    with launch_replay(minute_market, clock="live", reserve_days=1) as it:
        yield it


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_that_a_dry_run_predicts_from_a_feature_set(replay: Replay, tmp_path: Path) -> None:
    userdir, port = tmp_path / "userdir", free_port()
    write_feature_set(userdir / "freqai_features.json", CHOSEN)
    freqai = {"identifier": "chosen", "train_period_days": 2}
    config = minute_bot(replay.url, tmp_path, port, PAIRS, freqai=freqai)
    configs = [Path("config.replay.json"), overlay(tmp_path / "chosen.json", config)]
    bot = Bot(configs, tmp_path / "bot.log", port)
    try:
        for pair in PAIRS:
            bot.wait_for("a prediction", lambda pair=pair: bot.predictions(pair, "1m"), 500)
        bot.stop_in_order()
    finally:
        bot.close()
    log = bot.log.read_text()
    assert "not trained" not in log, bot.tail(100)
    names = _importances(userdir)
    assert {name.split("_")[0] for name in names} == {f"%-{group}" for group in CHOSEN.groups}


def _importances(userdir: Path) -> set[str]:
    """Return the names of the features that a stored model was trained on."""
    found: set[str] = set()
    for path in userdir.rglob("*.json"):
        content = json.loads(path.read_text())
        names = content.get("feature_names") if isinstance(content, dict) else None
        found |= set(names or ())
    return found
