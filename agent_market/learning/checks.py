"""Checks that refuse a target that is not in the future, and a feature that is.

Both compute the column again on data that end early and on data whose later rows are changed, and
compare. A value that changes has seen those rows; a value that does not change has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import ConfigError, DataError

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Computation = Callable[[pd.DataFrame], "pd.DataFrame | pd.Series"]

_PRICES = ("open", "high", "low", "close")
_MOVE, _NOISE = 0.3, 0.05  # log change of the rows that are changed, and its spread
_TOLERANCE = 1e-9  # rounding of sums that run over other rows; a leak changes far more


def check_target(
    name: str,
    target: Computation,
    candles: pd.DataFrame,
    horizon: int,
    *,
    n_probes: int = 8,
    seed: int = 0,
) -> None:
    """Refuse a target that the past tells, or that looks beyond its horizon.

    At randomly chosen rows t, a target passes if it is NaN on data that end at t, if no value
    changes once the rows up to its horizon are there, whatever follows, and if some value changes
    when the rows after t change. A missing `shift(-n)`, a fill of the last rows, a horizon that is
    too short and statistics of the whole sample all fail.

    Parameters
    ----------
    name : str
        The target's column.
    target : callable
        Takes candles, returns the column or a frame that has it, of as many rows.
    candles : DataFrame of shape (n_rows, ...)
        Candles to try it on; `date` is used in messages.
    horizon : int
        Last row after t that the value at t may use.
    n_probes : int
        Rows to try; each costs three computations.

    Raises
    ------
    ConfigError
        The target is refused; the message names column, row, time and values.
    DataError
        The candles are too few to know.
    """
    whole = _target_column(name, target, candles)
    changes = False
    for row in _probe_rows(name, whole, horizon, n_probes, seed):
        prefix = _target_column(name, target, candles.iloc[: row + 1])
        _require_unknown(name, candles, row, prefix)
        _require_settled(name, candles, row, horizon, prefix, whole)
        for changed in _changed_futures(candles, row + 1, seed):
            other = _target_column(name, target, changed)
            _require_within_horizon(name, candles, row, horizon, other, whole)
            changes |= not _same(other, whole)[max(0, row + 1 - horizon) : row + 1].all()
    if not changes:
        raise ConfigError(
            f"{name}: no value changes when the {horizon} rows after it change, tried at "
            f"{n_probes} rows up to {_time(candles, len(candles) - 1)}. It is a function of the "
            "past. Compute it from later rows, for example with shift(-horizon)."
        )


def check_feature(
    compute: Computation, candles: pd.DataFrame, *, n_probes: int = 8, seed: int = 0
) -> None:
    """Refuse features that use rows after their own.

    The value at t on data[:t+1] must equal that on all of the data, and that on data whose rows
    after t are changed.

    Parameters
    ----------
    compute : callable
        Takes candles, returns one column or a frame of them, of as many rows.
    candles : DataFrame of shape (n_rows, ...)
        Candles to try it on; `date` is used in messages.
    n_probes : int
        Random rows to try; each costs three computations. Some rows at the start come on top.

    Raises
    ------
    ConfigError
        A feature is refused; the message names column, row, time and values.
    DataError
        The candles are too few to know.
    """
    if len(candles) < 8:
        raise DataError(f"{len(candles)} candles are too few to check a feature. Use hundreds.")
    whole = _frame(compute, candles)
    quarter = len(candles) // 4
    rows = np.random.default_rng(seed).integers(quarter, len(candles) - 1, n_probes)
    for row in rows:
        prefix = _frame(compute, candles.iloc[: row + 1])
        _require_equal(candles, row, prefix, whole, "on data that end there")
    # A fill of the first rows shows only there; data that short could break an honest feature.
    for row in [*_powers_of_two(quarter), *rows]:
        for changed in _changed_futures(candles, row + 1, seed):
            other = _frame(compute, changed)
            _require_equal(candles, row, other, whole, "when later rows are changed")


def check_locality(
    targets: Computation, candles: pd.DataFrame, horizon: int, *, n_probes: int = 4, seed: int = 0
) -> None:
    """Refuse targets that cannot be computed once and then cut to a window.

    A target is local if its value at row t depends on rows up to t + horizon alone: then the value
    from the whole history equals the one from a history that ends at t + horizon, and no row after
    that can leak into a window through it.

    Parameters
    ----------
    targets : callable
        Takes candles, returns one column or a frame of them, of as many rows.
    candles : DataFrame of shape (n_rows, ...)
        Candles to try it on; `date` is used in messages.
    horizon : int
        Last row after t that the value at t may use.
    n_probes : int
        Rows to try; each costs three computations.

    Raises
    ------
    ConfigError
        A target is not local; the message names column, row, time and values.
    DataError
        The candles are too few to know.
    """
    whole = _frame(targets, candles)
    last = len(candles) - horizon - 1
    if last <= len(candles) // 2:
        raise DataError(
            f"{len(candles)} candles are too few to try targets of horizon {horizon}. Use more."
        )
    for row in np.random.default_rng(seed).integers(len(candles) // 2, last, n_probes):
        ends_there = _frame(targets, candles.iloc[: row + 1])
        for other in (ends_there, *_frames_of_changed_futures(targets, candles, row + 1, seed)):
            for name in whole:
                if name not in other:
                    raise ConfigError(f"{name}: is missing on candles that end at row {row}.")
                known = whole[name].iloc[: row + 1]
                _require_within_horizon(
                    str(name), candles, row, horizon, other[name].iloc[: row + 1], known
                )


def _frames_of_changed_futures(
    compute: Computation, candles: pd.DataFrame, first: int, seed: int
) -> Iterator[pd.DataFrame]:
    for changed in _changed_futures(candles, first, seed):
        yield _frame(compute, changed)


def _probe_rows(name: str, whole: pd.Series, horizon: int, n_probes: int, seed: int) -> IntArray:
    known = np.flatnonzero(whole.notna())
    rows = known[(known >= len(whole) // 4) & (known < len(whole) - horizon)]
    if not rows.size:
        raise DataError(
            f"{name}: {known.size} of {len(whole)} rows have a value, and none lies between the "
            f"first quarter and the last {horizon} rows. Check it on more candles."
        )
    return np.random.default_rng(seed).choice(rows, n_probes)


def _powers_of_two(limit: int) -> Iterator[int]:
    row = 1
    while row < limit:
        yield row
        row *= 2


def _require_unknown(name: str, candles: pd.DataFrame, row: int, prefix: pd.Series) -> None:
    if prefix.isna().iloc[row]:
        return
    raise ConfigError(
        f"{name}: row {row} ({_time(candles, row)}) has the value {prefix.iloc[row]} on data "
        "that end there, so it is computed from the past, or filled in where the future is not "
        "known. Shift it by the negative horizon, and leave unknown rows NaN."
    )


def _require_settled(
    name: str,
    candles: pd.DataFrame,
    row: int,
    horizon: int,
    prefix: pd.Series,
    whole: pd.Series,
) -> None:
    same = _same(prefix, whole.iloc[: row + 1])
    same[max(0, row + 1 - horizon) :] |= prefix.isna().to_numpy()[max(0, row + 1 - horizon) :]
    if not same.all():
        wrong = int(np.flatnonzero(~same)[0])
        raise ConfigError(
            f"{name}: row {wrong} ({_time(candles, wrong)}) has the value {prefix.iloc[wrong]} "
            f"on data that end {row - wrong} rows later, and {whole.iloc[wrong]} on all data. "
            f"It uses rows beyond its horizon of {horizon}, or is filled in where the future is "
            "not known. Raise the horizon, take statistics of the past only, leave unknown rows "
            "NaN."
        )


def _require_within_horizon(
    name: str,
    candles: pd.DataFrame,
    row: int,
    horizon: int,
    other: pd.Series,
    whole: pd.Series,
) -> None:
    same = _same(other, whole)[: max(0, row + 1 - horizon)]
    if not same.all():
        wrong = int(np.flatnonzero(~same)[-1])
        raise ConfigError(
            f"{name}: row {wrong} ({_time(candles, wrong)}) changes from {whole.iloc[wrong]} to "
            f"{other.iloc[wrong]} when rows from {row + 1} on change, beyond its horizon of "
            f"{horizon}. Raise the horizon, or take statistics of the past only."
        )


def _require_equal(
    candles: pd.DataFrame, row: int, other: pd.DataFrame, whole: pd.DataFrame, where: str
) -> None:
    for column in whole:
        if column not in other:
            raise ConfigError(
                f"{column}: is missing {where} (row {row}, {_time(candles, row)}). Return the "
                "same columns for any candles."
            )
        same = _same(other[column].iloc[: row + 1], whole[column].iloc[: row + 1])
        if not same.all():
            wrong = int(np.flatnonzero(~same)[-1])
            raise ConfigError(
                f"{column}: row {wrong} ({_time(candles, wrong)}) is {whole[column].iloc[wrong]} "
                f"on all data, and {other[column].iloc[wrong]} {where} (row {row}). It uses "
                "later rows. Look for shift(-n), bfill, centered windows and statistics of the "
                "whole sample."
            )


def _changed_futures(candles: pd.DataFrame, first: int, seed: int) -> Iterator[pd.DataFrame]:
    """Yield the candles with the rows from `first` on moved up, then down, with noise."""
    rng = np.random.default_rng(seed)
    floats = [name for name in candles if pd.api.types.is_float_dtype(candles[name])]
    is_price = np.array([name in _PRICES for name in floats])
    others = candles.drop(columns=floats)
    for move in (_MOVE, -_MOVE):
        n_later = len(candles) - first
        factors = np.exp(rng.normal(move, _NOISE, (n_later, len(floats))))
        prices = np.exp(rng.normal(move, _NOISE, n_later))  # shared: high >= low
        factors[:, is_price] = prices[:, None]
        yield pd.concat([others, *_scaled(candles[floats], first, factors)], axis=1)[
            list(candles.columns)
        ]


def _scaled(
    numbers: pd.DataFrame, first: int, factors: npt.NDArray[np.float64]
) -> Iterator[pd.DataFrame]:
    """Yield the columns of each type, with the rows from `first` on times their factors."""
    for dtype in numbers.dtypes.unique():
        chosen = (numbers.dtypes == dtype).to_numpy()
        values = numbers.loc[:, chosen].to_numpy(copy=True)
        values[first:] *= factors[:, chosen].astype(values.dtype)
        yield pd.DataFrame(values, columns=numbers.columns[chosen], index=numbers.index)


def _same(found: pd.Series, expected: pd.Series) -> BoolArray:
    """Return where two columns agree, up to rounding; NaN equals NaN."""
    missing = np.asarray(found.isna()) & np.asarray(expected.isna())
    if not (pd.api.types.is_numeric_dtype(found) and pd.api.types.is_numeric_dtype(expected)):
        equal = found.astype(object).to_numpy() == expected.astype(object).to_numpy()
        return np.asarray(missing | equal.astype(np.bool_), dtype=np.bool_)
    left, right = found.to_numpy(np.float64), expected.to_numpy(np.float64)
    finite = np.abs(right[np.isfinite(right)])
    scale = float(np.median(finite)) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        near = np.abs(left - right) <= _TOLERANCE * (np.abs(right) + scale)
    # an infinite tolerance would take anything for equal to an infinite value
    return np.asarray(missing | (left == right) | (near & np.isfinite(right)), dtype=np.bool_)


def _target_column(name: str, target: Computation, candles: pd.DataFrame) -> pd.Series:
    found = target(candles.copy())
    column = found.get(name) if isinstance(found, pd.DataFrame) else found
    if not isinstance(column, pd.Series):
        raise ConfigError(
            f"{name}: the target returns {_describe(found)} without that column. Return the column."
        )
    _require_length(name, column, candles)
    return column


def _frame(compute: Computation, candles: pd.DataFrame) -> pd.DataFrame:
    found = compute(candles.copy())
    frame = found.to_frame() if isinstance(found, pd.Series) else found
    _require_length(", ".join(map(str, frame.columns)), frame, candles)
    return frame


def _require_length(name: str, found: pd.DataFrame | pd.Series, candles: pd.DataFrame) -> None:
    if len(found) != len(candles):
        raise ConfigError(
            f"{name}: {len(found)} rows were returned for {len(candles)} candles. Return one row "
            "for each candle; NaN where there is no value."
        )


def _describe(found: object) -> str:
    if isinstance(found, pd.DataFrame):
        return f"a frame of {list(found.columns)}"
    return f"a {type(found).__name__}"


def _time(candles: pd.DataFrame, row: int) -> str:
    return str(candles["date"].iloc[row] if "date" in candles else candles.index[row])
