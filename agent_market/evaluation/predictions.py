"""Score the predictions that FreqAI stored, window by window, against what happened."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError
from agent_market.evaluation.backtest_result import BacktestArtifacts, BacktestResult
from agent_market.evaluation.information_coefficient import (
    FloatArray,
    MeanEstimate,
    clustered_mean,
    forward_returns,
    hit_rate,
    information_coefficient,
    information_coefficient_error,
)
from agent_market.market.candles import read_candles, timeframe_seconds

FOLDER = "backtesting_predictions"
LABEL = "&-forward_return"
_FILE = re.compile(r"cb_(.+)_(\d+)_prediction")


@dataclass(frozen=True)
class PredictionWindow:
    """What one trained model predicted for one pair.

    Attributes
    ----------
    pair : str
    trained_until : int
        End of the training data, Unix seconds; the predictions begin there.
    frame : DataFrame
        `date` (candle open time), the label's column, `do_predict`.
    label : str or None
        The numeric column that holds the predictions; None for a classifier.
    """

    pair: str
    trained_until: int
    frame: pd.DataFrame
    label: str | None


def read_windows(artifacts: BacktestArtifacts, result: BacktestResult) -> list[PredictionWindow]:
    """Return the windows of this backtest, by time and pair.

    FreqAI keeps one folder per identifier, so files of earlier runs may lie there too: only
    windows that begin where this run's windows begin, and rows inside its period, are used.

    Raises
    ------
    DataError
        A file cannot be read or lacks `date` or `do_predict`.
    """
    windows = []
    for (trained_until, pair), path in sorted(window_files(artifacts, result).items()):
        frame = _read(path)
        frame = frame[(frame["date"] >= result.start) & (frame["date"] <= result.end)]
        if len(frame):
            windows.append(PredictionWindow(pair, trained_until, frame, _label_of(frame)))
    return windows


def window_files(
    artifacts: BacktestArtifacts, result: BacktestResult
) -> dict[tuple[int, str], Path]:
    """Return this run's prediction files by (end of training in Unix seconds, pair)."""
    # FreqAI names the files after the base currency alone.
    coins = {pair.split("/")[0].lower(): pair for pair in result.pairs}
    files = {}
    for path in (artifacts.run_models_dir / FOLDER).glob("*.feather"):
        match = _FILE.fullmatch(path.stem)
        if match and match[1] in coins and _belongs_to_run(int(match[2]), artifacts, result):
            files[int(match[2]), coins[match[1]]] = path
    return files


def _belongs_to_run(
    trained_until: int, artifacts: BacktestArtifacts, result: BacktestResult
) -> bool:
    # A run's windows stand every `backtest_period_days` from the start of its time range.
    days = artifacts.config.get("freqai", {}).get("backtest_period_days")
    start = _timerange_start(str(result.stats.get("timerange") or ""))
    in_period = trained_until <= result.end.timestamp()
    if not days or start is None:
        return in_period
    offset = trained_until - start
    return in_period and offset >= 0 and offset % int(float(days) * 86_400) == 0


def score_predictions(artifacts: BacktestArtifacts, result: BacktestResult) -> dict[str, Any]:
    """Return prediction quality per window, per pair and over all.

    Only rows with `do_predict` equal to 1 are scored: those a strategy may act upon. Realized
    returns are close[t + h] / close[t] - 1 with h of the configuration, from the stored candles;
    rows whose h-th later candle is not stored are left out. Undefined figures are NaN.

    Returns
    -------
    dict
        `status` "ok" or "none" (then `reason` says why), and if ok `label`, `horizon_candles`,
        `overall`, `by_pair`, `windows`.
    """
    windows = read_windows(artifacts, result)
    horizon = artifacts.horizon_candles
    reason = _why_not(artifacts, windows, horizon)
    if reason or horizon is None:
        return {"status": "none", "reason": reason}
    realized = {
        pair: _realized(artifacts, result, pair, horizon)
        for pair in sorted({window.pair for window in windows})
    }
    rows = [
        _score(window, realized[window.pair], horizon)
        for window in windows
        if window.label is not None
    ]
    return {
        "status": "ok",
        "reason": None,
        "label": next(window.label for window in windows if window.label),
        "horizon_candles": horizon,
        "overall": _aggregate(rows, horizon),
        "by_pair": [
            {"pair": pair, **_aggregate([row for row in rows if row["pair"] == pair], horizon)}
            for pair in realized
        ],
        "windows": rows,
    }


def _why_not(
    artifacts: BacktestArtifacts, windows: list[PredictionWindow], horizon: int | None
) -> str | None:
    if not windows:
        return f"no predictions of this run in {artifacts.run_models_dir.name}/{FOLDER}"
    if horizon is None:
        return "the configuration names no freqai.feature_parameters.label_period_candles"
    if all(window.label is None for window in windows):
        return "the model predicts classes; a coefficient needs a numeric prediction"
    return None


def _score(window: PredictionWindow, realized: pd.Series[float], horizon: int) -> dict[str, Any]:
    frame = window.frame
    accepted = frame[frame["do_predict"] == 1]
    predicted = np.asarray(accepted[window.label], np.float64)
    outcome = np.asarray(realized.reindex(accepted["date"]), np.float64)
    return {
        "pair": window.pair,
        "window_start": frame["date"].iloc[0].isoformat(),
        "window_end": frame["date"].iloc[-1].isoformat(),
        "trained_until": _iso(window.trained_until),
        "n_rows": len(frame),
        "n": int(np.sum(np.isfinite(predicted) & np.isfinite(outcome))),
        "do_predict_share": len(accepted) / len(frame),
        "ic": information_coefficient(predicted, outcome),
        "ic_standard_error": information_coefficient_error(predicted, outcome, horizon),
        "rank_ic": information_coefficient(predicted, outcome, "spearman"),
        "hit_rate": hit_rate(predicted, outcome),
    }


def _aggregate(rows: list[dict[str, Any]], horizon: int) -> dict[str, Any]:
    ics = np.array([row["ic"] for row in rows], float)
    times = np.array([row["trained_until"] for row in rows])
    # Labels of one window reach into as many later windows as the horizon is long.
    lag = horizon // max(1, int(np.median([row["n_rows"] for row in rows])))
    mean = clustered_mean(ics, times, lag)
    positive = clustered_mean(np.where(np.isfinite(ics), ics > 0, np.nan), times, lag)
    ranks = clustered_mean(np.array([row["rank_ic"] for row in rows], float), times, lag)
    weights = np.array([row["n"] for row in rows], float)
    hits = np.array([row["hit_rate"] for row in rows], float)
    return {
        "n_windows": len(rows),
        "n_window_times": mean.n_clusters,
        "n": int(weights.sum()),
        "mean_ic": mean.mean,
        "mean_ic_standard_error": mean.standard_error,
        "mean_ic_interval_95": [mean.low, mean.high],
        "mean_rank_ic": ranks.mean,
        "mean_rank_ic_standard_error": ranks.standard_error,
        "icir": _icir(ics, times),
        "positive_window_share": positive.mean,
        "positive_window_share_standard_error": _binomial_floor(positive),
        "hit_rate": _weighted_mean(hits, weights),
        "do_predict_share": _weighted_mean(
            np.array([row["do_predict_share"] for row in rows]),
            np.array([row["n_rows"] for row in rows], float),
        ),
    }


def _icir(ics: FloatArray, times: npt.NDArray[Any]) -> float:
    by_time = pd.Series(ics).groupby(times).mean().dropna()
    if len(by_time) < 2 or not by_time.std():
        return math.nan
    return float(by_time.mean() / by_time.std())


def _binomial_floor(share: MeanEstimate) -> float:
    # All windows positive gives no spread at all; that is not certainty. Fall back on the
    # binomial error at (positives + 2) / (windows + 4), one trial per window time.
    if share.n_clusters < 2:
        return math.nan
    count = share.n_clusters
    center = (share.mean * count + 2) / (count + 4)
    return max(share.standard_error, math.sqrt(center * (1 - center) / (count + 4)))


def _weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    keep = np.isfinite(values) & (weights > 0)
    return float(np.average(values[keep], weights=weights[keep])) if keep.any() else math.nan


def _realized(
    artifacts: BacktestArtifacts, result: BacktestResult, pair: str, horizon: int
) -> pd.Series[float]:
    timeframe = result.timeframe
    candles = read_candles(artifacts.datadir, pair, timeframe, result.candle_kind)
    margin = pd.Timedelta(seconds=(horizon + 1) * timeframe_seconds(timeframe))
    inside = (candles["date"] >= result.start) & (candles["date"] <= result.end + margin)
    return forward_returns(candles[inside], horizon, timeframe)


def _read(path: Path) -> pd.DataFrame:
    advice = "Delete it and run the backtest again: FreqAI writes it anew."
    try:
        frame = pd.read_feather(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable prediction file ({error}). {advice}") from error
    missing = [column for column in ("date", "do_predict") if column not in frame]
    if missing:
        raise DataError(f"{path} lacks {missing}; found {list(frame.columns)}. {advice}")
    return frame


def _label_of(frame: pd.DataFrame) -> str | None:
    numeric = list(_numeric_labels(frame))
    return LABEL if LABEL in numeric else next(iter(numeric), None)


def _numeric_labels(frame: pd.DataFrame) -> Iterator[str]:
    for name in map(str, frame.columns):
        derived = name.endswith(("_mean", "_std")) and name.rsplit("_", 1)[0] in frame
        if name.startswith("&") and not derived and pd.api.types.is_numeric_dtype(frame[name]):
            yield name


def _timerange_start(timerange: str) -> int | None:
    begin = timerange.split("-")[0]
    if re.fullmatch(r"\d{8}", begin):
        return int(pd.Timestamp(begin, tz="UTC").timestamp())
    if re.fullmatch(r"\d{10}|\d{13}", begin):
        return int(begin[:10])
    return None


def _iso(seconds: int) -> str:
    return pd.Timestamp(seconds, unit="s", tz="UTC").isoformat()
