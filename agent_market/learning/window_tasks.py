"""Many windows, each trained and predicted by one thread, in as many processes as are wanted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent_market.errors import DataError
from agent_market.learning.adapters.inputs import AnyArray
from agent_market.learning.feature_table import FeatureTable
from agent_market.learning.window_model import (
    FitReport,
    ModelSpec,
    Prediction,
    Rows,
    WindowModel,
    fit_window,
)

_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Series:
    """One pair in a window.

    train, predict : first row and end (exclusive) in `table`.
    labels : (train rows, n_labels); NaN or None where not known at the end of `train`.
    """

    pair: str
    table: FeatureTable
    train: tuple[int, int]
    predict: tuple[int, int]
    labels: AnyArray


@dataclass(frozen=True)
class WindowTask:
    """One window to train and predict; small enough to be sent to another process.

    key : names the window in its outcome. save_to : folder for the model, None: it is not kept.
    """

    key: str
    series: tuple[Series, ...]
    label_names: tuple[str, ...]
    spec: ModelSpec
    save_to: Path | None = None


@dataclass(frozen=True)
class WindowOutcome:
    """What became of a task.

    predictions : pair to the predictions of its `predict` rows; empty where the fit failed.
    error : why the window could not be trained on, or None.
    """

    key: str
    predictions: dict[str, Prediction]
    label_mean: dict[str, float]
    label_std: dict[str, float]
    calibration_errors: dict[str, list[float]]
    report: FitReport | None
    predict_seconds: float
    error: str | None = None


def run_window(task: WindowTask) -> WindowOutcome:
    """Train one window and predict the rows after it.

    A window that cannot be trained on (`DataError`) comes back with its reason; the others go on.
    """
    first = task.series[0]
    rows = [
        Rows(
            series.table.read(*series.train),
            series.labels,
            np.asarray(series.table.index[slice(*series.train)]),
        )
        for series in task.series
    ]
    try:
        model, report = fit_window(rows, first.table.names, task.label_names, task.spec)
    except DataError as error:
        return WindowOutcome(task.key, {}, {}, {}, {}, None, 0.0, f"{first.pair}: {error}")
    if task.save_to is not None:
        model.save(task.save_to)
    started = time.monotonic()
    predictions = {series.pair: _predict(model, series) for series in task.series}
    return WindowOutcome(
        task.key,
        predictions,
        model.label_mean,
        model.label_std,
        model.calibration_errors,
        report,
        time.monotonic() - started,
    )


def run_windows(tasks: Sequence[WindowTask], workers: int) -> Iterator[WindowOutcome]:
    """Yield outcomes as they come, not in the order of `tasks`.

    Parameters
    ----------
    workers : int
        Processes, each with one thread; 1 trains in this process.
    """
    if workers == 1 or len(tasks) <= 1:
        yield from map(run_window, tasks)
        return
    from joblib import Parallel, delayed

    with _processes(workers):
        run = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
        yield from run(delayed(run_window)(task) for task in tasks)


def start_workers(workers: int, spec: ModelSpec) -> None:
    """Start the processes of `run_windows` and let them import the model's library.

    They start in the background, so the caller can compute features meanwhile.
    """
    if workers == 1:
        return
    from joblib import Parallel, delayed

    def start() -> None:
        with _processes(workers):
            Parallel(batch_size=1)(delayed(_import_library)(spec) for _ in range(workers))

    threading.Thread(target=start, name="start-workers", daemon=True).start()


def _processes(workers: int) -> Any:
    """Return joblib's context of the worker processes; equal ones share their processes."""
    from joblib import parallel_config

    return parallel_config(
        backend="loky",
        n_jobs=workers,
        inner_max_num_threads=1,
        initializer=_end_with,
        initargs=(os.getpid(),),
    )


def _end_with(parent: int) -> None:
    """Let this process end soon after its parent, which may be killed while this one sleeps.

    The kernel's signal of a parent's death (PR_SET_PDEATHSIG) would come when the thread ends that
    started this process, and `start_workers` starts them in a thread that ends at once.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def _import_library(spec: ModelSpec) -> None:
    spec.create()


def _predict(model: WindowModel, series: Series) -> Prediction:
    start, stop = series.predict
    context = min(start, model.window - 1)
    whole = model.predict(series.table.read(start - context, stop))
    return Prediction(
        {name: values[context:] for name, values in whole.outputs.items()},
        whole.trusted[context:],
        whole.dissimilarity[context:],
    )
