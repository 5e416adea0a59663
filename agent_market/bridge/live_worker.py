"""The process that trains for a live bot, run by `live_start`.

It reads one pickled `Training` after another from its standard input and writes an answer for each.
It ends with its input, so with the bot, however that ends.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from freqtrade.exchange import timeframe_to_seconds
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.resolvers import StrategyResolver
from freqtrade.strategy import IStrategy

from agent_market.bridge.live_provider import SnapshotProvider
from agent_market.bridge.live_tasks import (
    NoFeatures,
    NotTrained,
    Panel,
    Snapshot,
    Table,
    Trained,
    Training,
    described,
    panel_tables,
    training_frame,
    training_table,
)
from agent_market.errors import AgentMarketError
from agent_market.learning.window_model import WindowModel, fit_window

logger = logging.getLogger(__name__)

NICENESS = 15  # a 28th of the share of a bot that wants the same core


class Trainer:
    """Trains what it is given, with a strategy of its own that is loaded once."""

    def __init__(self) -> None:
        self._strategy: IStrategy | None = None

    def answer(self, training: Training) -> Trained | NoFeatures | NotTrained:
        """
        Fit one model and write it; whatever goes wrong is in the answer.
        :param training: what to fit
        """
        try:
            tables, left_out = self._tables(training)
        except Exception as error:  # noqa: BLE001 - whatever the user's hooks raise
            return NoFeatures(described(error))
        try:
            return Trained(_fit(training, tables), left_out)
        except AgentMarketError as error:
            return NotTrained(str(error))
        except Exception:  # noqa: BLE001 - the bot logs it, and this process serves the next pair
            return NotTrained(traceback.format_exc())

    def _tables(self, training: Training) -> tuple[tuple[Table, ...], Mapping[str, str]]:
        config, material = training.config, training.material
        if isinstance(material, Snapshot):
            return (self._table(config, material),), {}
        if isinstance(material, Panel):
            corr_pairs = config["freqai"]["feature_parameters"].get("include_corr_pairlist", [])
            return panel_tables(material, lambda one: self._table(config, one), corr_pairs)
        return material, {}

    def _table(self, config: dict[str, Any], snapshot: Snapshot) -> Table:
        provider = SnapshotProvider(config, snapshot)
        strategy = self._strategy_with(provider, config)
        kitchen = FreqaiDataKitchen(config, True, snapshot.pair)
        try:
            frame = training_frame(snapshot, strategy, kitchen)
        finally:
            if provider.refused:  # also where the hook went on without the answer
                raise provider.refused[0]
        return training_table(frame, kitchen, timeframe_to_seconds(config["timeframe"]))

    def _strategy_with(self, provider: SnapshotProvider, config: dict[str, Any]) -> IStrategy:
        if self._strategy is not None:
            self._strategy.dp = provider
            return self._strategy
        strategy = StrategyResolver.load_strategy(config)
        strategy.dp = provider
        # what `ft_bot_start` does, but for loading FreqAI and its data from the exchange
        strategy.freqai_info = config["freqai"]
        strategy.freqai = SimpleNamespace()  # hooks leave things there, such as class_names
        strategy.bot_start()
        strategy.ft_load_hyper_params(False)
        self._strategy = strategy
        return strategy


def main() -> None:
    """Train what the bot sends until it sends no more."""
    requests, answers = sys.stdin.buffer, _private_output()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s - training worker - %(levelname)s - %(message)s"
    )
    trainer = Trainer()
    waiting: queue.SimpleQueue[Training] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, waiting), daemon=True).start()
    while True:
        pickle.dump(trainer.answer(waiting.get()), answers)
        answers.flush()


def _private_output() -> BinaryIO:
    """Keep the standard output for answers; what the strategy prints goes to the bot's log."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _receive(requests: BinaryIO, waiting: queue.SimpleQueue[Training]) -> None:
    """Pass trainings on; at the end of the input end at once, amid a training too."""
    while True:
        try:
            waiting.put(pickle.load(requests))  # noqa: S301 - from the bot, through a pipe
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)


def _fit(training: Training, tables: tuple[Table, ...]) -> Any:
    model, report = fit_window(
        [table.rows for table in tables],
        tables[0].feature_names,
        tables[0].label_names,
        training.spec,
        _loaded(training.init),
    )
    model.save(training.folder)
    return report


def _loaded(folder: Path | None) -> WindowModel | None:
    try:
        return None if folder is None else WindowModel.load(folder)
    except AgentMarketError as error:
        logger.warning("%s The new model does not go on from it.", error)
        return None


if __name__ == "__main__":
    main()
