"""`scripts/freqai_expression_agent.py` on stored candles, with a server that a test controls."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from agent_market.errors import DataError
from agent_market.evaluation.expressions.layout import CampaignDesign, layout_of
from agent_market.expressions.accepted import read_accepted
from agent_market.flow.timerange import parse_timerange
from agent_market.market.candles import read_candles, write_candles
from agent_market.market.sidedata import EVERY_PAIR, write_side
from agents.expression_campaign import load_panel, search_end, search_notes
from tests.candles import random_candles
from tests.conftest import PROJECT
from tests.llm.fault_server import answering, serve

PAIRS = ["BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT"]
ROWS = 1500
GOOD = json.dumps({"expressions": ["ts_zscore(close, 12)", "rank(volume)"]})


@pytest.fixture(scope="module")
def datadir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, pair in enumerate(PAIRS):
        frame = random_candles(ROWS, seed, timeframe_seconds=3600)
        write_candles(folder, pair, "1h", "futures", frame)
        write_candles(folder, pair, "8h", "funding_rate", frame.iloc[::8])
    return folder


def _run(
    folder: Path, datadir: Path, llm: dict[str, object], *options: str
) -> subprocess.CompletedProcess[str]:
    config = folder / "config.json"
    settings = {
        "timeframe": "1h",
        "trading_mode": "futures",
        "exchange": {"name": "binance", "pair_whitelist": PAIRS},
        "user_data_dir": str(folder / "userdir"),
        "freqai": {"feature_parameters": {"label_period_candles": 4}},
        "agent_market": {"llm": llm, "state_dir": str(folder / "state")},
    }
    config.write_text(json.dumps(settings))
    return subprocess.run(
        [
            sys.executable,
            str(PROJECT / "scripts" / "freqai_expression_agent.py"),
            *("-c", str(config), "-d", str(datadir), "--rounds", "2", "--proposals", "2"),
            *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_that_a_run_is_recorded_replayed_and_written(datadir: Path, tmp_path: Path) -> None:
    with serve(answering(GOOD)) as server:
        first = _run(tmp_path, datadir, {"base_url": server.url, "tries": 1})
        assert first.returncode == 0, first.stderr
    assert "round 0: 2 by the model (grammar), 0 by search" in first.stdout
    assert "round 1: 0 by the model (grammar), 2 by search" in first.stdout
    assert "valid: 100%, new: 50%" in first.stdout
    assert read_accepted(tmp_path / "userdir" / "freqai_expressions.json").n_trials == 4
    home = tmp_path / "state" / "expressions"
    options = ("--folder", "other", "--replay", str(home / "exchanges.jsonl"))
    second = _run(tmp_path, datadir, {"base_url": server.url, "tries": 1}, *options)
    assert second.returncode == 0, second.stderr
    rounds = "rounds.json"
    assert (tmp_path / "other" / rounds).read_bytes() == (home / rounds).read_bytes()
    assert not (tmp_path / "other" / "exchanges.jsonl").exists()


def test_that_without_a_key_search_does_it_all_and_a_second_run_goes_on(
    datadir: Path, tmp_path: Path
) -> None:
    llm: dict[str, object] = {"base_url": "https://127.0.0.1:9/v1", "api_key_env": "NOT_SET_HERE"}
    for n_trials in (4, 8):
        done = _run(tmp_path, datadir, llm)
        assert done.returncode == 0, done.stderr
        assert "the environment variable NOT_SET_HERE holds no key" in done.stderr
        assert f"Trials: {n_trials}, accepted: 0" in done.stdout


def test_that_a_mistake_is_one_line(datadir: Path, tmp_path: Path) -> None:
    done = _run(tmp_path, datadir, {}, "--replay", "nothing.jsonl")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no record of exchanges at nothing.jsonl")
    assert done.stderr.count("\n") == 1


def test_that_a_model_is_told_nothing_from_after_the_search_rows(
    datadir: Path, tmp_path: Path
) -> None:
    panel = load_panel(datadir, PAIRS, "1h", "futures")
    design = CampaignDesign(horizon_candles=4)
    until = search_end(panel, design)
    dates = read_candles(datadir, PAIRS[0], "1h", "futures")["date"]
    assert until == dates[layout_of(ROWS, "1h", design).search.stop]
    times = [until, until + pd.Timedelta(seconds=1)]
    news = {"event_time": times, "available_at": times, "headline": ["known", "later"]}
    write_side(tmp_path, "news", EVERY_PAIR, pd.DataFrame(news))
    notes = search_notes(tmp_path, tmp_path / "none.json", until)
    assert notes == ["headline: known"]


def test_that_a_panel_has_the_time_range_and_the_funding(datadir: Path) -> None:
    panel = load_panel(datadir, PAIRS, "1h", "futures", parse_timerange("20240110-20240112"))
    assert panel.shape == (3, 48) and "funding" in panel.series
    first = datetime.fromtimestamp(panel.first_candle * 3600, UTC)
    assert first == datetime(2024, 1, 10, tzinfo=UTC)
    with pytest.raises(DataError, match=r"no candles of BTC/USDT:USDT in the time range"):
        load_panel(datadir, PAIRS, "1h", "futures", parse_timerange("20300110-20300112"))
