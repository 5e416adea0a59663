"""Live training in a worker process: a deadline, no orphan, and the bot's thread only waits."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from freqtrade.freqai.data_kitchen import FreqaiDataKitchen

import agent_market
from agent_market.bridge.live_tasks import (
    NoFeatures,
    NotTrained,
    Panel,
    Snapshot,
    Table,
    Trained,
    Training,
)
from agent_market.errors import ModelUnavailable
from agent_market.learning.window_model import ModelSpec, WindowModel

logger = logging.getLogger(__name__)

_PACKAGE_ROOT = Path(agent_market.__file__).resolve().parents[1]
_START = Path(__file__).with_name("live_start.py")


class LiveTrainer:
    """Trains one pair after the other in a worker, while the calling thread of the bot waits."""

    def __init__(self, config: dict[str, Any], folder: Path, deadline_minutes: float) -> None:
        """
        Start nothing yet.
        :param config: Freqtrade's merged configuration
        :param folder: where the worker leaves a model; it is there while a training is under way
        :param deadline_minutes: after which a training is given up
        """
        self.worker = TrainingWorker(deadline_minutes)
        self._config = config
        self._folder = folder
        self._features_in_worker = True

    def train(
        self, candles: Snapshot | Panel, spec: ModelSpec, dk: FreqaiDataKitchen, init: Path | None
    ) -> WindowModel | None:
        """
        Return the model of the newest candles, or None if its features have to be computed here.

        ModelUnavailable: there is no new model, and the message says why.
        :param candles: of one pair or of a panel
        :param spec: the model to fit
        :param dk: FreqAI's data kitchen of the pair; gets the names of features and labels
        :param init: folder of the model to go on from
        """
        if not self._features_in_worker:
            return None
        answer = self._answer(Training(self._config, candles, spec, self._folder, init))
        if isinstance(answer, NoFeatures):
            self._features_in_worker = False
            logger.warning(
                "%s: the strategy's feature hooks do not work in the training worker. From now on "
                "the bot calls them itself, and leaves only the fit to the worker. %s",
                dk.pair,
                answer.reason,
            )
            return None
        return self._load(answer, dk)

    def fit(
        self, tables: Sequence[Table], spec: ModelSpec, dk: FreqaiDataKitchen, init: Path | None
    ) -> WindowModel:
        """
        Return the model of some tables.

        ModelUnavailable: there is no new model, and the message says why.
        :param tables: rows to fit on, a table a pair, with the same columns
        :param spec: the model to fit
        :param dk: FreqAI's data kitchen of the pair
        :param init: folder of the model to go on from
        """
        answer = self._answer(Training(self._config, tuple(tables), spec, self._folder, init))
        assert isinstance(answer, Trained)  # noqa: S101 - there are no features to compute
        return self._load(answer, dk)

    def close(self) -> None:
        """End the worker at once; a training that waits for it fails."""
        self.worker.close()

    def _answer(self, training: Training) -> Trained | NoFeatures:
        shutil.rmtree(self._folder, ignore_errors=True)  # of a training that did not end
        self._folder.mkdir(parents=True)
        answer = self.worker.run(training)
        if isinstance(answer, NotTrained):
            raise ModelUnavailable(answer.reason)
        return answer

    def _load(self, answer: Trained, dk: FreqaiDataKitchen) -> WindowModel:
        model = WindowModel.load(self._folder)
        shutil.rmtree(self._folder)
        dk.training_features_list = list(model.feature_names)
        dk.label_list = list(model.label_names)
        dk.data["labels_mean"], dk.data["labels_std"] = model.label_mean, model.label_std
        log_left_out(answer.left_out)
        report = answer.report
        logger.info(
            "%s: trained on %d rows and %d features in %.2f s.",
            dk.pair,
            report.n_rows,
            report.n_features,
            report.fit_seconds,
        )
        return model


def log_left_out(pairs: Mapping[str, str]) -> None:
    """
    Say which pairs of a panel have no part in its model.
    :param pairs: why, by pair
    """
    for pair, reason in pairs.items():
        logger.warning("%s: not in the training of the panel. %s", pair, reason)


class TrainingWorker:
    """One process, started at the first training and again after it died; it dies with this one."""

    def __init__(self, deadline_minutes: float) -> None:
        """
        Start nothing yet.
        :param deadline_minutes: after which a training is given up
        """
        self.deadline_minutes = deadline_minutes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of the two above, between training and stopping
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Number of the process that is there or was there last."""
        return None if self._process is None else self._process.pid

    def run(self, training: Training) -> Trained | NoFeatures | NotTrained:
        """
        Return the worker's answer.

        ModelUnavailable: it took too long and was killed, it died, or the bot is stopping.
        :param training: what to fit
        """
        expired = threading.Event()
        process = self._live_process()
        timer = threading.Timer(60 * self.deadline_minutes, _expire, [process, expired])
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(training, _pipe(process.stdin))
            _pipe(process.stdin).flush()
            answer: Trained | NoFeatures | NotTrained = pickle.load(_pipe(process.stdout))  # noqa: S301
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            process.kill()
            raise ModelUnavailable(self._death_of(process, expired)) from error
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        """Kill the worker and start none again."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _live_process(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise ModelUnavailable("The bot is stopping.")
            if self._process is None or self._process.poll() is not None:
                self._process = _started()
            return self._process

    def _death_of(self, process: subprocess.Popen[bytes], expired: threading.Event) -> str:
        code = process.wait()
        if self._is_closed:
            return "The bot is stopping."
        if expired.is_set():
            return (
                "The training took longer than agent_market.learning.training_deadline_minutes = "
                f"{self.deadline_minutes:g} and was ended. Raise it, or train on less."
            )
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        return f"The training worker died with {how}; SIGKILL often means too little memory."


def _started() -> subprocess.Popen[bytes]:
    """Start a fresh interpreter: a fork of a bot with threads could inherit their locks."""
    path = os.pathsep.join([str(_PACKAGE_ROOT), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-P", str(_START), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        # Ctrl-C is for the bot, which may wait for the training. Not a new session: Linux weighs
        # sessions against each other, and niceness only within one.
        process_group=0,
    )


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    process.kill()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - both are pipes
    return stream
