import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from agent_market.llm.notes import headline_notes, summary_notes
from agent_market.market.sidedata import EVERY_PAIR, write_side

UNTIL = datetime(2025, 4, 10, tzinfo=UTC)


def _window(pair: str, end: str, ic: float | None) -> dict[str, object]:
    return {"pair": pair, "window_end": end, "ic": ic, "hit_rate": 0.9}


def _summary(*windows: dict[str, object]) -> dict[str, object]:
    return {
        "schema": 1,
        "backtest": {"model": "M", "timeframe": "5m", "end": "2025-06-01T00:00:00+00:00"},
        "totals": {"net_profit_percent": 77.7},
        "predictions": {"horizon_candles": 12, "windows": windows, "overall": {"mean_ic": 0.77}},
        "feature_importance": {"top": [{"feature": "%-77"}]},
    }


def _written(folder: Path, content: object) -> Path:
    path = folder / "summary.json"
    path.write_text(json.dumps(content))
    return path


def test_that_only_windows_whose_outcomes_are_known_are_told(tmp_path: Path) -> None:
    path = _written(
        tmp_path,
        _summary(
            _window("BTC", "2025-04-02T00:00:00+00:00", 0.02),
            _window("BTC", "2025-04-09T22:55:00+00:00", 0.04),
            _window("BTC", "2025-04-09T23:00:00+00:00", 0.77),
            _window("ETH", "2025-05-01T00:00:00+00:00", 0.77),
            _window("LTC", "2025-04-02T00:00:00+00:00", None),
        ),
    )
    assert summary_notes(path, UNTIL) == ["model M on BTC: mean IC 0.0300 in 2 windows"]


def test_that_figures_after_the_search_period_do_not_change_a_note(tmp_path: Path) -> None:
    inside = _window("BTC", "2025-04-02T00:00:00+00:00", 0.02)
    later = [_window("BTC", "2025-05-02T00:00:00+00:00", ic) for ic in (0.9, -0.9)]
    first, second = (
        summary_notes(_written(tmp_path, _summary(inside, window)), UNTIL) for window in later
    )
    assert first == second != []


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"schema": 2},
        _summary({"pair": "BTC"}),
        _summary(_window("BTC", "2025-04-02T00:00:00", 0.02)),
        {**_summary(), "backtest": {"timeframe": "soon"}},
    ],
)
def test_that_an_unusable_summary_is_left_out_and_said(
    content: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert summary_notes(_written(tmp_path, content), UNTIL) == []
    assert "is no backtest summary" in caplog.text


def test_that_without_a_summary_there_is_no_note(tmp_path: Path) -> None:
    assert summary_notes(tmp_path / "none.json", UNTIL) == []


def test_that_only_headlines_that_were_known_are_told(tmp_path: Path) -> None:
    times = pd.to_datetime(["2025-04-01", "2025-04-09", "2025-04-09"], utc=True)
    known = pd.to_datetime(["2025-04-01", "2025-04-09", "2025-04-11"], utc=True)
    news = pd.DataFrame(
        {"event_time": times, "available_at": known, "headline": ["old", "new", "late"]}
    )
    write_side(tmp_path, "news", EVERY_PAIR, news)
    assert headline_notes(tmp_path, UNTIL, 5) == ["headline: old", "headline: new"]
    assert headline_notes(tmp_path, UNTIL, 1) == ["headline: new"]
    assert headline_notes(tmp_path / "other", UNTIL, 5) == []
