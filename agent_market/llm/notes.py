"""What a proposer may be told beside scores: headlines and a backtest, of the time it may see."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Literal

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ValidationError

from agent_market.errors import DataError, StateCorrupt
from agent_market.market.candles import timeframe_seconds
from agent_market.market.sidedata import EVERY_PAIR, read_side
from agent_market.store import read_json

logger = logging.getLogger(__name__)


class _Backtest(BaseModel):
    model: str | None = None
    timeframe: str


class _Window(BaseModel):
    pair: str
    window_end: AwareDatetime
    ic: float | None


class _Predictions(BaseModel):
    horizon_candles: int = 0
    windows: list[_Window] = []


class _Summary(BaseModel):
    """The part of a summary that is read: figures with a date, and nothing of the whole period."""

    schema_version: Literal[1]
    backtest: _Backtest
    predictions: _Predictions


def headline_notes(datadir: Path, until: datetime, limit: int) -> list[str]:
    """Return the newest headlines that were known at `until`, oldest first; none without news.

    Raises
    ------
    DataError
        The news lack a column.
    """
    try:
        news = read_side(datadir, "news", EVERY_PAIR)
    except DataError as error:
        logger.info("no headlines: %s", error)
        return []
    missing = {"available_at", "headline"} - set(news)
    if missing:
        raise DataError(f"the news in {datadir} lack {sorted(missing)}. Store them anew.")
    known = news[news["available_at"] <= pd.Timestamp(until)]
    return [f"headline: {text}" for text in known["headline"].astype(str).tail(limit)]


def summary_notes(path: Path, until: datetime) -> list[str]:
    """Return what `latest_backtest_summary.json` says of windows whose outcomes end by `until`.

    A figure of the whole backtest is left out, because it holds rows that a search must not see.
    A file that is missing or unusable gives no notes and a line in the log.
    """
    if not path.is_file():
        return []
    try:
        content = read_json(path)
        summary = _Summary.model_validate({"schema_version": content.get("schema"), **content})
        candle = pd.Timedelta(seconds=timeframe_seconds(summary.backtest.timeframe))
    except (StateCorrupt, DataError, ValidationError, AttributeError) as error:
        logger.warning(
            "%s is no backtest summary (%s). It is left out.", path, type(error).__name__
        )
        return []
    reach = candle * (summary.predictions.horizon_candles + 1)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for window in summary.predictions.windows:
        if window.ic is not None and pd.Timestamp(window.window_end) + reach <= pd.Timestamp(until):
            found[window.pair].append(window.ic)
    return [
        f"model {summary.backtest.model} on {pair}: mean IC {fmean(ics):.4f} in {len(ics)} windows"
        for pair, ics in sorted(found.items())
    ]
