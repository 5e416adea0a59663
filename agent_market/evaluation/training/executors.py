"""Where windows are trained: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from agent_market.errors import ConfigError, ModelUnavailable
from agent_market.evaluation.training.runner import Execute
from agent_market.learning.window_tasks import WindowOutcome, WindowTask, run_window, run_windows

LOCAL = "local"
_RETRIES = 5
_OBJECT_STORE_BYTES = 200 * 1024**2  # tasks and predictions are small: features stay in files


def local_processes(workers: int) -> Execute:
    """Return an executor of `workers` processes, one thread each; 1 trains in this process."""
    return partial(run_windows, workers=workers)


@contextmanager
def ray_cluster(address: str, workers: int) -> Iterator[Execute]:
    """Yield an executor that trains on Ray; the connection ends with the context.

    A worker that dies loses nothing: its window is trained again elsewhere, up to five times. The
    outcomes are byte for byte those of `local_processes`, as both run the same function on one
    thread.

    Parameters
    ----------
    address : str
        `host:port` of a running cluster, or `local` to start one on this machine.
    workers : int
        Worker processes of a cluster started here, at least 2; a running one has its own.

    Raises
    ------
    ModelUnavailable
        Ray is not installed, or a window lost its worker too often.
    ConfigError
        No cluster answers at `address`.

    Notes
    -----
    Tasks name files of features. On several machines the folder of the feature cache must be
    shared under one path.
    """
    ray = _import_ray()
    _connect(ray, address, max(2, workers))
    try:
        yield partial(_run_on_ray, ray)
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ModelUnavailable(
            f"--ray needs the package ray, which cannot be imported ({error}). Run "
            "`pip install -r requirements-ray.txt`, or leave --ray out."
        ) from error


def _connect(ray: Any, address: str, workers: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    _require_listener(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, str(error)) from error


def _require_listener(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        raise _no_cluster(address, "it is not of the form host:port")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, reason: str) -> ConfigError:
    return ConfigError(
        f"--ray {address}: no Ray cluster answers ({reason.strip()}). Start one with `ray start "
        "--head`, correct the address, or give --ray without one to start it here."
    )


def _run_on_ray(ray: Any, tasks: Sequence[WindowTask]) -> Iterator[WindowOutcome]:
    train = ray.remote(num_cpus=1, max_retries=_RETRIES)(run_window)
    waiting = {train.remote(task): task.key for task in tasks}
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        key = waiting.pop(ready[0])
        try:
            yield ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            raise ModelUnavailable(
                f"{key}: Ray gave the window up after {_RETRIES} retries ({error}). Look for a "
                "machine that runs out of memory, or train with fewer --workers."
            ) from error
