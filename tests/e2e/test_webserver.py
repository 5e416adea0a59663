"""FreqUI's backend, `freqtrade webserver`, with our strategy and model."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent_market.decisions.advice import record_advice
from agent_market.decisions.bias import Bias, BiasSource, PairBias
from tests.conftest import SmallMarket
from tests.freqtrade_process import Bot, api_server, free_port, overlay

PAIR = "ETH/USDT:USDT"
BIASED = datetime(2025, 1, 21, 12, tzinfo=UTC), datetime(2025, 1, 21, 18, tzinfo=UTC)


def _short_for_hours(path: Path) -> Path:
    """Write the history of one bias, and return its path."""
    bias = Bias(
        version=1,
        id="of-the-test",
        created_at=BIASED[0],
        expires_at=BIASED[1],
        source=BiasSource(model="none", data_hash="0" * 64),
        pairs={PAIR: PairBias(direction=-1, confidence=0.5)},
    )
    record_advice(path, [(BIASED[0], bias)])
    return path


@pytest.mark.timeout(400)
def test_that_the_webserver_serves_predictions_their_band_and_what_the_strategy_made_of_them(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    port = free_port()
    decisions = {
        "bias": {"history": str(_short_for_hours(tmp_path / "bias.jsonl"))},
        "learning": {"conformal": {"coverage": 0.9}},
    }
    served = overlay(
        tmp_path / "served.json", {"api_server": api_server(port), "agent_market": decisions}
    )
    command = ("webserver", "--datadir", str(small_market.datadir))
    server = Bot([small_market.config, served], tmp_path / "web.log", port, *command)
    try:
        server.wait_for("the API", lambda: server.get("/ping")["status"] == "pong", 90)
        assert "HybridMultiMode" in server.get("/strategies")["strategies"]
        assert "CatboostRegressor" in server.get("/freqaimodels")["freqaimodels"]
        history = server.get(
            "/pair_history",
            pair=PAIR,
            timeframe="5m",
            timerange="20250120-20250122",
            strategy="HybridMultiMode",
            freqaimodel="CatboostRegressor",
        )
        plot = server.get("/plot_config", strategy="HybridMultiMode")
    finally:
        server.close()
    frame = pd.DataFrame(history["data"], columns=history["columns"])
    assert (frame["do_predict"] == 1).sum() == len(frame) == 2 * 288 + 1
    assert len(set(frame["&-forward_return"])) > 1  # a real model, not the zeros of an absent one
    lines = {name: line for each in plot["subplots"].values() for name, line in each.items()}
    band = ["&-forward_return_lo", "&-forward_return_hi"]
    assert {*band, "&-forward_return", "am_mode", "am_regime", "am_bias", "am_level"} <= set(lines)
    assert set(lines) <= set(frame)
    assert lines[band[1]]["fill_to"] == band[0]
    known = frame.dropna(subset=band)  # the first rows are too few to know errors from
    assert len(known) > 0.9 * len(frame)
    assert known[band[0]].lt(known["&-forward_return"]).all()
    assert known[band[1]].gt(known["&-forward_return"]).all()
    _assert_areas(frame, history["annotations"])
    assert "Invalid annotation" not in server.log.read_text()


def _assert_areas(frame: pd.DataFrame, areas: list[dict[str, Any]]) -> None:
    (bias,) = [area for area in areas if area["label"].startswith("bias")]
    assert bias["label"] == "bias short"
    begin, end = (datetime.fromisoformat(bias[side]) for side in ("start", "end"))
    # the candle that closes with the publication is the first to know
    assert (begin, end) == tuple(moment - timedelta(minutes=5) for moment in BIASED)
    modes = [area for area in areas if " in " in area["label"]]
    assert {area["label"].split(" in ")[1] for area in modes} >= {"range", "trend"}
    dates = pd.to_datetime(frame["date"], utc=True)
    for area in modes:
        inside = frame[(dates >= area["start"]) & (dates < area["end"])]
        assert inside["am_regime"].nunique() == inside["am_mode"].nunique() == 1
