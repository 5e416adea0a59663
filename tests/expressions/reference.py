"""The alpha language in pandas, slow and obvious: a window at a time, summed exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agent_market.expressions import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import EWM_HALF_LIVES
from agent_market.market.candles import timeframe_seconds

_FLAT = 1.4e-14
"""Values that differ by less, as a share of their size, do not differ but by rounding."""

_AGGREGATION = {"open": "first", "high": "max", "low": "min", "volume": "sum"}

_ROUNDED = {"div", "log", "tanh", "zscore", "demean", "neutralize", "ewm", "ts_std"} | {
    f"ts_{name}" for name in ("mean", "zscore", "skew", "corr", "cov", "slope", "decay")
}

Series = dict[str, pd.DataFrame]
Values = pd.DataFrame | float


class Market(NamedTuple):
    """Series of shape (n_rows, n_pairs) by name, indexed by the candles' opens."""

    timeframe: str
    series: Series
    features: Series


class Reference:
    """Computes expressions on a market; equal ones once.

    With a `seed`, what is rounded is off by a random share of 1e-13 at each step: values that
    change much by it are not determined by the definition, only by the order of the sums.
    """

    def __init__(self, market: Market, seed: int | None = None) -> None:
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._markets = {market.timeframe: market}
        self._base = market
        self._known: dict[tuple[str, Node], Values] = {}

    def values(self, node: Node) -> pd.DataFrame:
        """Return the values of an expression, of shape (n_rows, n_pairs)."""
        return self._values(self._base.timeframe, node)

    def _values(self, timeframe: str, node: Node) -> Any:
        if (timeframe, node) not in self._known:
            self._known[timeframe, node] = self._compute(timeframe, node)
        return self._known[timeframe, node]

    def _compute(self, timeframe: str, node: Node) -> Values:
        market = self._market(timeframe)
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Feature):
            return market.features[node.name]
        if isinstance(node, Input):
            return _series(market.series, node.name)
        if isinstance(node, At):
            return _known_at_close(self._values(node.timeframe, node.body), node.timeframe, market)
        assert isinstance(node, Call)
        args = [self._values(timeframe, arg) for arg in node.args]
        result = OPERATORS[node.operator](*args)
        if isinstance(result, pd.DataFrame):
            if self._rng is not None and node.operator in _ROUNDED:
                result = (result + 1e-13 * self._rng.normal(size=result.shape)) * (
                    1 + 1e-13 * self._rng.normal(size=result.shape)
                )
            return result.where(np.isfinite(result))
        return float(result) if math.isfinite(result) else math.nan

    def _market(self, timeframe: str) -> Market:
        if timeframe not in self._markets:
            self._markets[timeframe] = longer_candles(self._base, timeframe)
        return self._markets[timeframe]


def longer_candles(market: Market, timeframe: str) -> Market:
    """Return candles of a longer timeframe; NaN unless all candles of the market are there."""
    seconds = timeframe_seconds(timeframe)
    whole = seconds // timeframe_seconds(market.timeframe)
    series = {}
    for name, values in market.series.items():
        candles = values.resample(f"{seconds}s", origin="epoch")
        result = candles.agg(_AGGREGATION.get(name, "last"))
        series[name] = result.where(candles.count() == whole)
    return Market(timeframe, series, {})


def _known_at_close(longer: pd.DataFrame, timeframe: str, market: Market) -> pd.DataFrame:
    opens = market.series["close"].index
    closes = opens + pd.Timedelta(seconds=timeframe_seconds(market.timeframe))
    known = longer.set_axis(longer.index + pd.Timedelta(seconds=timeframe_seconds(timeframe)))
    return known.reindex(closes, method="ffill").set_axis(opens)


def _series(series: Series, name: str) -> pd.DataFrame:
    if name == "returns":
        return series["close"] / series["close"].shift(1) - 1
    if name == "vwap":
        return (series["high"] + series["low"] + series["close"]) / 3
    return series[name]


def _window(statistic: Callable[[np.ndarray], float]) -> Callable[..., pd.DataFrame]:
    """Return the operator of a statistic of n values, oldest first, none of them missing."""

    def operator(x: pd.DataFrame, n: float, *numbers: float) -> pd.DataFrame:
        rolling = x.rolling(int(n))
        return rolling.apply(lambda values: statistic(values, *numbers), raw=True)

    return operator


def _windows_of_two(
    statistic: Callable[[np.ndarray, np.ndarray], float],
) -> Callable[[pd.DataFrame, pd.DataFrame, float], pd.DataFrame]:
    def operator(x: pd.DataFrame, y: pd.DataFrame, n: float) -> pd.DataFrame:
        result = np.full(x.shape, np.nan)
        for end, pair in itertools.product(range(int(n), len(x) + 1), range(x.shape[1])):
            a, b = (each.to_numpy()[end - int(n) : end, pair] for each in (x, y))
            if np.isfinite(a).all() and np.isfinite(b).all():
                result[end - 1, pair] = statistic(a, b)
        return pd.DataFrame(result, x.index, x.columns)

    return operator


def _mean(x: np.ndarray) -> float:
    return math.fsum(x) / len(x)


def _squares(x: np.ndarray) -> float:
    """Return the sum of squares around the mean, 0 where it is rounding."""
    squares = math.fsum((x - _mean(x)) ** 2)
    return 0.0 if squares <= _FLAT**2 * math.fsum(x**2) else squares


def _std(x: np.ndarray) -> float:
    return math.sqrt(_squares(x) / (len(x) - 1))


def _zscore(x: np.ndarray) -> float:
    return (x[-1] - _mean(x)) / _std(x) if _std(x) > 0 else math.nan


def _skew(x: np.ndarray) -> float:
    cubes, squares = math.fsum((x - _mean(x)) ** 3), _squares(x)
    if squares == 0:
        return math.nan
    # the differences from the mean are rounded: what is symmetric is so to fewer digits
    return round((cubes / len(x)) / (squares / len(x)) ** 1.5, 9)


def _rank(x: np.ndarray) -> float:
    return float(((x < x[-1]).sum() + ((x == x[-1]).sum() - 1) / 2) / (len(x) - 1))


def _products(x: np.ndarray, y: np.ndarray) -> float:
    return math.fsum((x - _mean(x)) * (y - _mean(y)))


def _corr(x: np.ndarray, y: np.ndarray) -> float:
    scale = math.sqrt(_squares(x)) * math.sqrt(_squares(y))
    return _products(x, y) / scale if scale > 0 else math.nan


def _slope(x: np.ndarray) -> float:
    return _products(np.arange(len(x)), x) / _squares(np.arange(len(x)))


def _weighted(x: np.ndarray, weights: np.ndarray) -> float:
    # around the newest value, so that a flat window gives its value
    return x[-1] + math.fsum((x - x[-1]) * weights) / math.fsum(weights)


def _decay(x: np.ndarray) -> float:
    return _weighted(x, np.arange(1, len(x) + 1))


def _ewm(x: pd.DataFrame, half_life: float) -> pd.DataFrame:
    rows = EWM_HALF_LIVES * int(half_life)
    weights = 0.5 ** (np.arange(rows)[::-1] / half_life)
    return x.rolling(rows).apply(lambda values: _weighted(values, weights), raw=True)


def _compared(is_true: Callable[[Any, Any], Any]) -> Callable[[Values, Values], Values]:
    def operator(x: Values, y: Values) -> Values:
        if isinstance(x, float) and isinstance(y, float):
            return float(is_true(x, y))
        return is_true(x, y).astype(float) + 0 * x + 0 * y

    return operator


def _chosen(pick: Callable[..., Any]) -> Callable[[Values, Values], Values]:
    """Return an elementwise operator of NumPy on two arguments, either of them a number."""

    def operator(x: Values, y: Values) -> Values:
        return pick(x, y) if isinstance(x, pd.DataFrame) else pick(y, x)

    return operator


def _where(condition: Values, x: Values, y: Values) -> Values:
    frames = [each for each in (condition, x, y) if isinstance(each, pd.DataFrame)]
    if not frames:
        return x if condition else y
    condition, x, y = (each + 0 * frames[0].fillna(0) for each in (condition, x, y))
    return x.where(condition != 0, y).where(condition.notna())


def _logarithm(x: Values) -> Values:
    with np.errstate(all="ignore"):
        return np.log(x)


def _root(x: Values) -> Values:
    with np.errstate(all="ignore"):
        return np.sqrt(x)


def _quotient(x: Values, y: Values) -> Values:
    with np.errstate(all="ignore"):
        return np.float64(x) / y if isinstance(x, float) else x / y


def _of_pairs(statistic: Callable[[np.ndarray], np.ndarray]) -> Callable[..., pd.DataFrame]:
    """Return the operator of a statistic of the pairs that have a value, at least two."""

    def operator(x: pd.DataFrame) -> pd.DataFrame:
        result = np.full(x.shape, np.nan)
        for values, into in zip(x.to_numpy(), result, strict=True):
            known = np.isfinite(values)
            if known.sum() > 1:
                into[known] = statistic(values[known])
        return pd.DataFrame(result, x.index, x.columns)

    return operator


def _cross_rank(x: np.ndarray) -> np.ndarray:
    return (pd.Series(x).rank().to_numpy() - 1) / (len(x) - 1)


def _cross_zscore(x: np.ndarray) -> np.ndarray:
    return (x - _mean(x)) / (_std(x) or math.nan)


def _neutralize(x: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
    result = np.full(x.shape, np.nan)
    for xs, ys, into in zip(x.to_numpy(), y.to_numpy(), result, strict=True):
        both = np.isfinite(xs) & np.isfinite(ys)
        a, b = xs[both], ys[both]
        if len(a) > 2 and _squares(b) > 0:
            away, explained = a - _mean(a), _products(a, b) / _squares(b) * (b - _mean(b))
            rest = away - explained
            size = np.abs(a) + abs(_mean(a)) + np.abs(explained)
            into[both] = np.where(np.abs(rest) <= _FLAT * size, 0, rest)
    return pd.DataFrame(result, x.index, x.columns)


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": _quotient,
    "gt": _compared(lambda x, y: x > y),
    "ge": _compared(lambda x, y: x >= y),
    "lt": _compared(lambda x, y: x < y),
    "le": _compared(lambda x, y: x <= y),
    "neg": lambda x: -x,
    "abs": abs,
    "sign": np.sign,
    "log": _logarithm,
    "sqrt": _root,
    "square": lambda x: x * x,
    "tanh": np.tanh,
    "minimum": _chosen(np.minimum),
    "maximum": _chosen(np.maximum),
    "clip": np.clip,
    "where": _where,
    "delay": lambda x, n: x.shift(int(n)),
    "delta": lambda x, n: x - x.shift(int(n)),
    "ts_mean": _window(_mean),
    "ts_sum": _window(math.fsum),
    "ts_std": _window(_std),
    "ts_zscore": _window(_zscore),
    "ts_rank": _window(_rank),
    "ts_min": _window(np.min),
    "ts_max": _window(np.max),
    "ts_argmin": _window(lambda x: np.argmin(x[::-1])),
    "ts_argmax": _window(lambda x: np.argmax(x[::-1])),
    "ts_median": _window(np.median),
    "ts_quantile": _window(np.quantile),
    "ts_skew": _window(_skew),
    "ts_corr": _windows_of_two(_corr),
    "ts_cov": _windows_of_two(lambda x, y: _products(x, y) / (len(x) - 1)),
    "ts_slope": _window(_slope),
    "ts_decay": _window(_decay),
    "ewm": _ewm,
    "rank": _of_pairs(_cross_rank),
    "zscore": _of_pairs(_cross_zscore),
    "demean": _of_pairs(lambda x: x - _mean(x)),
    "neutralize": _neutralize,
}
