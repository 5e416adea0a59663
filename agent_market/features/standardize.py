"""Ways to bring a column to a common scale, each from its own window of the past alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pandas as pd

from agent_market.features.rolling import rolling_std, rolling_zscore

STANDARD_WINDOW = 288
FENCE_IQRS = 5.0


def rolling_rank(values: pd.Series, window: int) -> pd.Series:
    """Return the share of rows t-window+1..t that lie below the value at t, ties half, 0..1.

    Notes
    -----
    Information time: row t uses rows t-window+1..t. NaN until they exist or where one is NaN.
    """
    return (values.rolling(window).rank() - 0.5) / window


def winsorize(values: pd.Series, window: int, fence_iqrs: float = FENCE_IQRS) -> pd.Series:
    """Return the values, those far outside the middle half of their window moved to its fence.

    The fences lie `fence_iqrs` interquartile ranges below the first and above the third quartile of
    rows t-window+1..t; the value at t is one of them.

    Notes
    -----
    Information time: row t uses rows t-window+1..t. NaN until they exist or where one is NaN. A
    window whose middle half is one value has fences without a distance: all else is moved to it.
    """
    rolling = values.rolling(window)
    first, third = rolling.quantile(0.25), rolling.quantile(0.75)
    reach = fence_iqrs * (third - first)
    return values.clip(first - reach, third + reach).where(reach.notna())


def steady_zscore(values: pd.Series, window: int) -> pd.Series:
    """Return the distance from the mean of rows t-window+1..t in their standard deviations.

    Notes
    -----
    Information time: row t uses rows t-window+1..t. NaN until they exist or where one is NaN. 0 in
    a window that stood still: there the value is the mean, and NaN would cost the row.
    """
    still = rolling_std(values, window) == 0
    return rolling_zscore(values, window).mask(still, 0.0)


STANDARDIZATIONS: Mapping[str, Callable[[pd.Series, int], pd.Series]] = MappingProxyType(
    {"zscore": steady_zscore, "rank": rolling_rank, "winsorize": winsorize}
)
"""By the name that a feature set gives them."""
