"""Labels: what a model learns to predict, each with the horizon that says when it is known.

A label at row t is made of rows t..t+horizon, so its information interval is (t, t+horizon]: the
present is known, the rest is not. In the last `horizon` rows of the data it is NaN, never 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

from agent_market.errors import ConfigError, DataError
from agent_market.features.rolling import rolling_mean, rolling_std
from agent_market.learning.bounds import require_at_least
from agent_market.market.candles import timeframe_seconds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LabelSpec(ABC):
    """One target column.

    Parameters
    ----------
    horizon_candles : int
        Last row after t that the label at row t may use, at least 1.
    column : str
        Name of the target, in FreqAI's form `&-...`.
    """

    horizon_candles: int
    column: str = "&-label"

    def __post_init__(self) -> None:
        require_at_least(self, "horizon_candles", 1)
        if not self.column.startswith("&"):
            raise ConfigError(
                f"{type(self).__name__}: column is {self.column!r}, which FreqAI does not take for "
                "a target. Begin it with '&-'."
            )

    @abstractmethod
    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return the label of every row.

        Parameters
        ----------
        candles : DataFrame of shape (n_rows, ...)
            Candles without gaps, in Freqtrade's columns.

        Returns
        -------
        Series of shape (n_rows,), float64
            Row t uses rows <= t+horizon_candles. NaN where that is past the end, where a candle
            it needs is NaN, and where the past it needs is not there yet.

        Raises
        ------
        DataError
            A column is missing.
        """

    def label_end(self, candles: pd.DataFrame) -> IntArray:
        """Return the last row each label uses, of shape (n_rows,): t + horizon_candles.

        In the last rows it is past the end of the data. The splitters take it as `label_end`.
        """
        return np.arange(len(candles), dtype=np.int64) + self.horizon_candles


@dataclass(frozen=True, kw_only=True)
class ForwardReturn(LabelSpec):
    """Return over the next `horizon_candles`: close[t+h] / close[t] - 1, as a fraction."""

    column: str = "&-forward_return"

    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return close[t+h] / close[t] - 1; see `LabelSpec.compute`."""
        close = _column(candles, "close")
        return (close.shift(-self.horizon_candles) / close - 1).rename(self.column)


@dataclass(frozen=True, kw_only=True)
class HoldingReturn(LabelSpec):
    """What a decision at the close of row t earns on the candle that it holds.

    open[t+2] / open[t+1] - 1: filled at the next open, it may be changed an open later.
    """

    horizon_candles: int = 2
    column: str = "&-gain"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon_candles != 2:
            raise ConfigError(
                f"HoldingReturn: horizon_candles is {self.horizon_candles}; the return of the "
                "candle after the next open is known 2 candles on. Leave it at 2."
            )

    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return open[t+2] / open[t+1] - 1; see `LabelSpec.compute`."""
        opened = _column(candles, "open")
        return (opened.shift(-2) / opened.shift(-1) - 1).rename(self.column)


def forward_returns(timeframe: str, minutes: tuple[int, ...] = (5, 15, 60)) -> list[ForwardReturn]:
    """Return a forward return for each horizon in minutes, in columns `&-forward_return_15m`.

    Raises
    ------
    ConfigError
        A horizon is not a whole number of candles.

    Examples
    --------
    >>> [(label.column, label.horizon_candles) for label in forward_returns("5m")]
    [('&-forward_return_5m', 1), ('&-forward_return_15m', 3), ('&-forward_return_60m', 12)]
    """
    seconds = timeframe_seconds(timeframe)
    for horizon in minutes:
        if horizon < 1 or horizon * 60 % seconds:
            raise ConfigError(
                f"a horizon of {horizon} minutes is not a whole number of {timeframe} candles. "
                f"Take a multiple of {seconds / 60:g} minutes."
            )
    return [
        ForwardReturn(
            horizon_candles=horizon * 60 // seconds, column=f"&-forward_return_{horizon}m"
        )
        for horizon in minutes
    ]


@dataclass(frozen=True, kw_only=True)
class ClassLabel(LabelSpec):
    """A label of three classes, -1, 0 and 1; `names` in that order."""

    names: ClassVar[tuple[str, str, str]] = ("down", "flat", "up")

    def compute_names(self, candles: pd.DataFrame) -> pd.Series:
        """Return the classes as the strings that FreqAI's classifiers ask for; NaN as before."""
        return self.compute(candles).map(dict(zip((-1.0, 0.0, 1.0), self.names, strict=True)))


@dataclass(frozen=True, kw_only=True)
class ThresholdClass(ClassLabel):
    """Up, flat or down: the forward return against a fixed threshold.

    Parameters
    ----------
    threshold_bps : float
        A return above it is up, one below its negative is down; not negative.
    """

    threshold_bps: float
    column: str = "&-direction"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, "threshold_bps", 0)

    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return -1, 0 or 1; see `LabelSpec.compute`."""
        forward = ForwardReturn(horizon_candles=self.horizon_candles).compute(candles)
        threshold = self.threshold_bps / 10_000
        return _three_classes(forward, -threshold, threshold).rename(self.column)


@dataclass(frozen=True, kw_only=True)
class QuantileClass(ClassLabel):
    """Up, flat or down: the forward return against quantiles of the returns known at row t.

    The quantiles at row t are those of the last `window_candles` forward returns that have ended,
    of rows t-h-window+1..t-h. Quantiles of the whole sample would tell the past how the future
    moves.

    Parameters
    ----------
    lower, upper : float
        Quantiles, 0 < lower <= upper < 1. A return below the lower one is down, above the upper up.
    window_candles : int
        Number of known returns, at least 2. Labels are NaN until there are so many.
    """

    lower: float = 1 / 3
    upper: float = 2 / 3
    window_candles: int = 2016
    column: str = "&-direction"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, "window_candles", 2)
        if not 0 < self.lower <= self.upper < 1:
            raise ConfigError(
                f"QuantileClass: lower is {self.lower} and upper {self.upper}. Take quantiles with "
                "0 < lower <= upper < 1."
            )

    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return -1, 0 or 1; see `LabelSpec.compute`."""
        forward = ForwardReturn(horizon_candles=self.horizon_candles).compute(candles)
        known = forward.shift(self.horizon_candles).rolling(self.window_candles)
        classes = _three_classes(forward, known.quantile(self.lower), known.quantile(self.upper))
        return classes.rename(self.column)


@dataclass(frozen=True, kw_only=True)
class ScaledClass(ClassLabel):
    """Base of labels that measure the future in standard deviations of the past.

    Parameters
    ----------
    volatility_candles : int
        Number of returns, up to row t, whose standard deviation is the volatility; at least 2.
    """

    volatility_candles: int = 288

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, "volatility_candles", 2)

    def _volatility(self, close: pd.Series) -> pd.Series:
        """Return the causal standard deviation of one candle's return; NaN where it is 0."""
        volatility = rolling_std(close / close.shift() - 1, self.volatility_candles)
        return volatility.where(volatility > 0)


@dataclass(frozen=True, kw_only=True)
class RegimeClass(ScaledClass):
    """Surge, flat or plunge: where the price spends the next `horizon_candles`.

    The mean close of rows t+1..t+h, relative to the close of row t, is measured in the standard
    deviation that the mean of a random walk has: volatility * sqrt((h+1)(2h+1) / 6h). The mean
    and not the last price, so that one spike is no regime.

    Parameters
    ----------
    threshold_z : float
        Standard deviations from which on the market surges or plunges, above 0.
    """

    names: ClassVar[tuple[str, str, str]] = ("plunge", "flat", "surge")
    threshold_z: float = 1.0
    column: str = "&-regime"

    def __post_init__(self) -> None:
        super().__post_init__()
        _above_zero(self, "threshold_z")

    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return -1 (plunge), 0 or 1 (surge); see `LabelSpec.compute`."""
        close = _column(candles, "close")
        horizon = self.horizon_candles
        ahead = rolling_mean(close, horizon).shift(-horizon) / close - 1
        spread = np.sqrt((horizon + 1) * (2 * horizon + 1) / (6 * horizon))
        threshold = self.threshold_z * spread * self._volatility(close)
        return _three_classes(ahead, -threshold, threshold).rename(self.column)


@dataclass(frozen=True, kw_only=True)
class TripleBarrier(ScaledClass):
    """Which barrier the price touches first: the upper (1), the lower (-1), or none in time (0).

    The barriers stand at close[t] * (1 +- multiple * volatility * sqrt(h)), so that a multiple of
    1 is one standard deviation of the move over the horizon h. A candle that touches both does
    not tell which came first; unless its open is past one of them, the label is 0.

    Parameters
    ----------
    upper, lower : float
        Multiples of the volatility over the horizon, above 0.

    Notes
    -----
    The label is NaN in the last `horizon_candles` rows even where a barrier was touched: there,
    only quick touches are known yet, and a sample of them would be biased.

    Source: M. Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 3.
    """

    upper: float = 1.0
    lower: float = 1.0
    column: str = "&-barrier"

    def __post_init__(self) -> None:
        super().__post_init__()
        _above_zero(self, "upper")
        _above_zero(self, "lower")

    def compute(self, candles: pd.DataFrame) -> pd.Series:
        """Return -1, 0 or 1; see `LabelSpec.compute`."""
        classes, _ = self._touches(candles)
        return pd.Series(classes, index=candles.index, name=self.column)

    def label_end(self, candles: pd.DataFrame) -> IntArray:
        """Return the row of the touch, of shape (n_rows,); t + horizon_candles where none is."""
        _, ends = self._touches(candles)
        return ends

    def touch_time(self, candles: pd.DataFrame) -> pd.Series:
        """Return the open time of the candle that ends each label; NaT where the label is NaN."""
        classes, ends = self._touches(candles)
        dates = _column(candles, "date")
        touched = dates.iloc[np.minimum(ends, len(dates) - 1)]
        return touched.set_axis(candles.index).where(~np.isnan(classes)).rename("touch_time")

    def _touches(self, candles: pd.DataFrame) -> tuple[FloatArray, IntArray]:
        close = _column(candles, "close")
        width = self._volatility(close) * np.sqrt(self.horizon_candles)
        prices = [_column(candles, name).to_numpy(np.float64) for name in ("open", "high", "low")]
        classes, ends = _first_touch(
            *prices,
            (close * (1 + self.upper * width)).to_numpy(np.float64),
            (close * (1 - self.lower * width)).to_numpy(np.float64),
            self.horizon_candles,
        )
        return classes, ends


@njit(cache=True)
def _first_touch(
    opened: FloatArray,
    high: FloatArray,
    low: FloatArray,
    upper: FloatArray,
    lower: FloatArray,
    horizon: int,
) -> tuple[FloatArray, IntArray]:
    classes = np.full(opened.size, np.nan)
    ends = np.arange(opened.size) + horizon
    for start in range(opened.size - horizon):
        if np.isnan(upper[start]):
            continue
        classes[start] = 0.0
        for row in range(start + 1, start + horizon + 1):
            if np.isnan(opened[row] + high[row] + low[row]):
                classes[start] = np.nan
                break
            rises, falls = high[row] >= upper[start], low[row] <= lower[start]
            if rises and falls:
                rises, falls = opened[row] >= upper[start], opened[row] <= lower[start]
                classes[start] = 1.0 * rises - 1.0 * falls
                ends[start] = row
                break
            if rises or falls:
                classes[start] = 1.0 if rises else -1.0
                ends[start] = row
                break
    return classes, ends


def _three_classes(
    values: pd.Series, lower: pd.Series | float, upper: pd.Series | float
) -> pd.Series:
    """Return 1 above `upper`, -1 below `lower`, 0 between; NaN where one of the three is."""
    classes = (values > upper).astype(np.float64) - (values < lower).astype(np.float64)
    return classes.where((values - lower + upper).notna())


def _column(candles: pd.DataFrame, name: str) -> pd.Series:
    if name not in candles:
        raise DataError(
            f"a label needs the column {name!r}; the candles have {list(candles.columns)}. "
            "Pass candles in Freqtrade's columns."
        )
    return candles[name]


def _above_zero(spec: LabelSpec, field: str) -> None:
    value = getattr(spec, field)
    if not value > 0:
        raise ConfigError(f"{type(spec).__name__}: {field} is {value!r}. Take more than 0.")
