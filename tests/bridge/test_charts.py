"""What FreqUI draws of a frame of decisions."""

from datetime import timedelta
from typing import Any

import pandas as pd

from agent_market.bridge.charts import MOST_SPANS, chart_areas, plot_config
from agent_market.settings import AgentMarketSettings

START = pd.Timestamp("2025-01-01", tz="UTC")


def frame(**columns: Any) -> pd.DataFrame:
    """Return candles of 5 minutes between 90 and 110; a column that is not given is neutral."""
    rows = len(next(iter(columns.values())))
    dates = pd.date_range(START, periods=rows, freq="5min")
    neutral = {"am_mode": 2, "am_regime": 2, "am_bias": float("nan"), "am_level": 0}
    prices = pd.DataFrame({"date": dates, "low": 90.0, "high": 110.0})
    return prices.assign(**{**neutral, **columns})


def drawn(candles: pd.DataFrame) -> list[tuple[str, int, int, float | None, float | None]]:
    """Return label, first candle, candle after the last, and the heights of each area."""
    areas: list[Any] = chart_areas(candles, candles["am_level"], "5m")
    length = timedelta(minutes=5)
    return [
        (
            area["label"],
            (area["start"] - START) // length,
            (area["end"] - START) // length,
            area.get("y_start"),
            area.get("y_end"),
        )
        for area in areas
    ]


def test_that_mode_and_regime_are_areas_of_the_whole_height() -> None:
    assert drawn(frame(am_mode=[0, 1, 1, 1, 3], am_regime=[0, 1, 1, 2, 3])) == [
        ("mean reversion in range", 1, 3, None, None),
        ("mean reversion in trend", 3, 4, None, None),
        ("breakout in shock", 4, 5, None, None),
    ]


def test_that_a_bias_is_a_strip_at_the_foot_and_a_level_one_at_the_head() -> None:
    none = float("nan")
    assert drawn(frame(am_bias=[none, 0.4, 0.8, -0.1, none], am_level=[0, 0, 2, 2, 3]))[1:] == [
        ("bias long", 1, 3, 90.0, 90.8),
        ("bias short", 3, 4, 90.0, 90.8),
        ("level rules", 2, 4, 109.2, 110.0),
        ("level flat", 4, 5, 109.2, 110.0),
    ]


def test_that_the_longest_spans_are_drawn_where_there_are_many() -> None:
    flicker = [1, 2] * (2 * MOST_SPANS)
    found = drawn(frame(am_mode=[*flicker, 3, 3, 3, *flicker], am_regime=1))
    assert len(found) == MOST_SPANS
    assert ("breakout in range", 4 * MOST_SPANS, 4 * MOST_SPANS + 3, None, None) in found
    assert found == sorted(found, key=lambda area: area[1])


def test_that_the_band_is_plotted_where_a_model_gives_one() -> None:
    plain = AgentMarketSettings()
    covered = AgentMarketSettings.model_validate({"learning": {"conformal": {"coverage": 0.9}}})
    assert list(plot_config(plain, "&-r")["subplots"]["Prediction"]) == ["&-r"]
    lines = plot_config(covered, "&-r")["subplots"]["Prediction"]
    assert list(lines) == ["&-r", "&-r_lo", "&-r_hi"]
    assert lines["&-r_hi"]["fill_to"] == "&-r_lo"
