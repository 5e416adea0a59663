"""What FreqUI draws of the decisions: lines below the candles, and areas over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from freqtrade.strategy import AnnotationType

from agent_market.decisions.degrade import LEVELS
from agent_market.decisions.modes import Mode
from agent_market.decisions.regime import Regime
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import AgentMarketSettings

MOST_SPANS = 100  # of a kind: a browser draws each
STRIP = 0.04  # of the chart's height, for what is no property of the price

_MODE_COLORS = {
    Mode.FLAT: "127, 127, 127",
    Mode.MEAN_REVERSION: "31, 119, 180",
    Mode.TREND: "44, 160, 44",
    Mode.BREAKOUT: "255, 127, 14",
    Mode.SQUEEZE: "148, 103, 189",
    Mode.EVENT: "227, 119, 194",
    Mode.DEFENSIVE: "140, 86, 75",
    Mode.LONG_SHOT: "214, 39, 40",
}
_BIAS_COLORS = {-1: "214, 39, 40", 0: "127, 127, 127", 1: "44, 160, 44"}
_BIAS_NAMES = {-1: "short", 0: "neutral", 1: "long"}
_LEVEL_COLORS = ("", "255, 187, 0", "255, 127, 14", "214, 39, 40")


def plot_config(settings: AgentMarketSettings, prediction: str) -> dict[str, Any]:
    """
    Return the strategy's `plot_config`.

    The prediction's band is in it where `learning.conformal.coverage` makes models give one.
    :param settings: the section `agent_market`
    :param prediction: column of the predicted forward return
    """
    lines: dict[str, dict[str, str]] = {prediction: {"color": "#1f77b4"}}
    if settings.learning.conformal.coverage is not None:
        low, high = f"{prediction}_lo", f"{prediction}_hi"
        band = "rgba(31, 119, 180, 0.25)"
        lines |= {low: {"color": band}, high: {"color": band, "fill_to": low}}
    return {
        "main_plot": {},
        "subplots": {
            "Prediction": lines,
            "Regime": {"am_regime": {"color": "#9467bd"}, "am_trend": {"color": "#8c564b"}},
            "Mode": {"am_mode": {"color": "#2ca02c"}, "am_direction": {"color": "#d62728"}},
            "Bias, level, trust": {
                "am_bias": {"color": "#ff7f0e"},
                "am_level": {"color": "#7f7f7f"},
                "do_predict": {"color": "#c7c7c7"},
            },
        },
    }


def chart_areas(frame: pd.DataFrame, levels: pd.Series, timeframe: str) -> list[AnnotationType]:
    """
    Return areas: mode and regime over the whole height, bias at the foot, level at the head.

    Of each kind the `MOST_SPANS` longest, in the order of time.
    :param frame: of `DecisionDesk.choose`, at least one row
    :param levels: places in `LEVELS`, on the index of the frame
    :param timeframe: of the frame
    """
    low, high = float(frame["low"].min()), float(frame["high"].max())
    strip = STRIP * (high - low)
    direction = np.sign(frame["am_bias"])
    found: list[AnnotationType] = []
    both = len(Mode) * frame["am_regime"] + frame["am_mode"]
    for span in _spans(frame, both.where(frame["am_regime"] != Regime.UNKNOWN), timeframe):
        regime, mode = divmod(int(span.value), len(Mode))
        label = f"{Mode(mode).tag.replace('_', ' ')} in {Regime(regime).name.lower()}"
        found.append(_area(span, label, _MODE_COLORS[Mode(mode)], 0.10))
    for span in _spans(frame, direction, timeframe):
        way = int(span.value)
        area = _area(span, f"bias {_BIAS_NAMES[way]}", _BIAS_COLORS[way], 0.35)
        found.append({**area, "y_start": low, "y_end": low + strip})
    for span in _spans(frame, levels.where(levels > 0), timeframe):
        place = int(span.value)
        area = _area(span, f"level {LEVELS[place]}", _LEVEL_COLORS[place], 0.50)
        found.append({**area, "y_start": high - strip, "y_end": high})
    return found


def _spans(frame: pd.DataFrame, values: pd.Series, timeframe: str) -> list[Any]:
    """Return value, start and end of the runs of equal values that are not NaN."""
    runs = (values != values.shift()).cumsum()[values.notna()]
    spans = pd.DataFrame({"value": values, "date": frame["date"]}).groupby(runs)
    found = spans.agg(value=("value", "first"), start=("date", "first"), last=("date", "last"))
    found["end"] = found["last"] + pd.Timedelta(seconds=timeframe_seconds(timeframe))
    longest = (found["end"] - found["start"]).nlargest(MOST_SPANS).index
    return list(found.loc[sorted(longest)].itertuples())


def _area(span: Any, label: str, color: str, opacity: float) -> AnnotationType:
    return {
        "type": "area",
        "start": span.start.to_pydatetime(),
        "end": span.end.to_pydatetime(),
        "label": label,
        "color": f"rgba({color}, {opacity})",
    }
