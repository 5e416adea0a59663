"""What an adapter accepts: every refusal names the place, the value found and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent_market.errors import DataError

AnyArray = npt.NDArray[Any]
Features = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def check_features(X: AnyArray, names: Sequence[str], where: str) -> Features:
    """Return `X` as C-contiguous float32 of shape (n_rows, n_features), not copied if it is that.

    NaN passes; see `refuse_nan` and `refuse_empty_columns`.

    Raises
    ------
    DataError
        Not a table of floats, no rows, not as many columns as names, or an infinite value.
    """
    table = np.asarray(X)
    if table.ndim != 2:
        raise DataError(
            f"{where} has {table.ndim} dimensions (shape {table.shape}). Pass an array of shape "
            "(n_rows, n_features); reshape a single row with X.reshape(1, -1)."
        )
    if table.dtype.kind != "f":
        raise DataError(
            f"{where} has dtype {table.dtype}, not a float. Convert it with X.astype(np.float32)."
        )
    if table.shape[1] != len(names):
        raise DataError(
            f"{where} has {table.shape[1]} features, the model has {len(names)} "
            f"({_some(names)}). Pass the columns it was trained on, in that order."
        )
    if 0 in table.shape:
        raise DataError(
            f"{where} is empty (shape {table.shape}). Pass at least one row and column."
        )
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(table, dtype=np.float32)
    _refuse(
        np.isinf(floats), names, where, "infinite in float32", "Clip the feature, or set NaN there."
    )
    return floats


def refuse_nan(X: Features, names: Sequence[str], where: str, remedy: str) -> None:
    """Raise DataError that names the features of `X` with NaN, if there are any."""
    _refuse(np.isnan(X), names, where, "NaN", remedy)


def refuse_empty_columns(X: Features, names: Sequence[str], where: str) -> None:
    """Raise DataError that names the features of `X` that are NaN in every row."""
    empty = np.isnan(X).all(axis=0)
    if empty.any():
        found = [names[column] for column in np.flatnonzero(empty).tolist()]
        raise DataError(
            f"{where}: {_some(found)}: NaN in all {len(X)} rows. Drop the feature, or train on a "
            "period that has it."
        )


def check_targets(y: AnyArray, n_rows: int, where: str) -> FloatArray:
    """Return regression labels as float64 (n_rows,) or (n_rows, n_labels); (n_rows, 1) is flat.

    Raises
    ------
    DataError
        Not a number, not finite, or not one for each row.
    """
    labels = np.asarray(y)
    if labels.dtype.kind not in "fiu" or labels.ndim not in (1, 2) or 0 in labels.shape[1:]:
        raise DataError(
            f"{where} has dtype {labels.dtype} and shape {labels.shape}. Pass numbers of shape "
            "(n_rows,) or (n_rows, n_labels)."
        )
    _check_length(len(labels), n_rows, where)
    bad = len(labels) - int(np.isfinite(labels.reshape(len(labels), -1)).all(axis=1).sum())
    if bad:
        raise DataError(
            f"{where} is NaN or infinite in {bad} of {n_rows} rows. Drop the rows without a label."
        )
    flat = labels.ndim == 2 and labels.shape[1] == 1
    return (labels[:, 0] if flat else labels).astype(np.float64)


def refuse_constant_targets(y: FloatArray, where: str) -> None:
    """Raise DataError if a label has one value in all rows: there is nothing to learn."""
    columns = y.reshape(len(y), -1)
    for label in np.flatnonzero(columns.min(axis=0) == columns.max(axis=0)):
        raise DataError(
            f"{where}: label {label} is {columns[0, label]:g} in all {len(y)} rows. Check the "
            "target's formula, or train on a longer period."
        )


def check_classes(y: AnyArray, n_rows: int, where: str) -> AnyArray:
    """Return class labels, shape (n_rows,): strings, integers, booleans or whole floats.

    Raises
    ------
    DataError
        Of another shape or kind, missing (NaN, None), or not one for each row.
    """
    labels = np.asarray(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1:
        raise DataError(f"{where} has shape {labels.shape}. Pass one class a row, shape (n_rows,).")
    _check_length(len(labels), n_rows, where)
    if labels.dtype.kind == "O":
        labels = _typed(labels, where)
    if labels.dtype.kind == "f" and not (labels == np.round(labels)).all():
        raise DataError(
            f"{where} has classes that are NaN, infinite or not whole. Drop the rows without a "
            "label, or use a regressor."
        )
    if labels.dtype.kind not in "Ubiuf":
        raise DataError(f"{where} has dtype {labels.dtype}. Pass strings or integers as classes.")
    return labels


def check_weights(weight: AnyArray | None, n_rows: int, where: str) -> FloatArray | None:
    """Return sample weights as float64 (n_rows,), or None.

    Raises
    ------
    DataError
        Negative, not finite, all zero, or not one for each row.
    """
    if weight is None:
        return None
    weights = np.asarray(weight, dtype=np.float64)
    if weights.ndim != 1:
        raise DataError(f"{where} has shape {weights.shape}. Pass one weight a row, (n_rows,).")
    _check_length(len(weights), n_rows, where)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise DataError(
            f"{where} runs from {weights.min():g} to {weights.max():g}. Weights must be finite, "
            "not negative, and not all 0."
        )
    return weights


def target_rows(weight: FloatArray | None, n_rows: int, window: int, where: str) -> Rows | None:
    """Return the rows to learn from: of weight above 0, with a whole window; None if all rows are.

    With a window above 1 always the rows, ascending, of shape (n_targets,).

    Raises
    ------
    DataError
        No row of weight above 0 has a whole window.
    """
    if window == 1 and (weight is None or weight.all()):
        return None
    rows = np.arange(n_rows) if weight is None else np.flatnonzero(weight)
    rows = rows[rows >= window - 1]
    if not len(rows):
        raise DataError(
            f"{where} has {n_rows} rows, none of them with a weight and {window - 1} rows before "
            "it. Train on a longer period, or shorten window_candles."
        )
    return rows


def take_labels(y: AnyArray, rows: Rows | None, n_rows: int, where: str) -> AnyArray:
    """Return the labels of `rows`, all of them for None; those of other rows may be anything.

    Raises
    ------
    DataError
        Not one label for each row of X.
    """
    labels = np.atleast_1d(y)
    _check_length(len(labels), n_rows, where)
    return labels if rows is None else labels[rows]


def _typed(labels: AnyArray, where: str) -> AnyArray:
    """Turn a column of objects into one of strings, integers or floats."""
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and issubclass(next(iter(kinds)), (str, bool, int, float, np.generic)):
        return np.asarray(labels.tolist())
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataError(
        f"{where} holds objects of type {found}. Pass classes of one type, strings or integers, "
        "and drop the rows without a label."
    )


def _check_length(found: int, n_rows: int, where: str) -> None:
    if found != n_rows:
        raise DataError(f"{where} has {found} rows, X has {n_rows}. Pass one for each row of X.")


def _refuse(
    bad: npt.NDArray[np.bool_], names: Sequence[str], where: str, what: str, remedy: str
) -> None:
    if not bad.any():
        return
    columns = np.flatnonzero(bad.any(axis=0)).tolist()
    raise DataError(
        f"{where}: {_some([names[column] for column in columns])}: {what} in "
        f"{int(bad.any(axis=1).sum())} of {len(bad)} rows. {remedy}"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
