"""Late, duplicate and missing candles: which ones, and what a client then sees.

Whether a candle is faulty depends on the seed, the symbol, the interval and its open time alone,
so REST and streams agree.
"""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np

from agent_market.market.replay.series import FloatArray, IntArray, closes_at, opened_at
from agent_market.market.replay.tape import scramble
from agent_market.settings import FaultSettings

CandleFault = Literal["late", "duplicate", "missing"]


def any_candle_fault(faults: FaultSettings) -> bool:
    """Whether any candle may be faulty."""
    return bool(
        faults.late_candle_share or faults.duplicate_candle_share or faults.missing_candle_share
    )


def fault_of(faults: FaultSettings, symbol: str, interval: str, open_ms: int) -> CandleFault | None:
    """Return what is wrong with one candle, None where nothing is."""
    draw = float(_draws(faults, symbol, interval, np.array([open_ms], np.int64))[0])
    if draw < faults.missing_candle_share:
        return "missing"
    if draw < faults.missing_candle_share + faults.duplicate_candle_share:
        return "duplicate"
    if 1 - draw <= faults.late_candle_share:
        return "late"
    return None


def visible_ms(faults: FaultSettings, symbol: str, interval: str, now_ms: int) -> int:
    """Return the moment whose candles are shown: earlier while the last candle is late."""
    if not faults.late_candle_share:
        return now_ms
    opened = opened_at(interval, now_ms)
    previous = opened_at(interval, opened - 1)
    is_hidden = now_ms < closes_at(interval, previous) + faults.late_candle_seconds * 1000
    if is_hidden and fault_of(faults, symbol, interval, previous) == "late":
        return opened - 1
    return now_ms


def distort(
    faults: FaultSettings, symbol: str, interval: str, times: IntArray, values: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return the rows without missing candles and with duplicate ones twice."""
    draws = _draws(faults, symbol, interval, times)
    repeats = np.ones(len(times), np.int64)
    twice = faults.missing_candle_share + faults.duplicate_candle_share
    repeats[draws < twice] = 2
    repeats[draws < faults.missing_candle_share] = 0
    return np.repeat(times, repeats), np.repeat(values, repeats, axis=0)


def _draws(faults: FaultSettings, symbol: str, interval: str, times: IntArray) -> FloatArray:
    return scramble(times, faults.seed ^ zlib.crc32(f"{symbol}:{interval}".encode()))
