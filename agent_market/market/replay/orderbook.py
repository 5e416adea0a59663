"""Order books: stored ones carried along with the price, else derived around the last price.

A book is a pure function of its update id (a tenth of a second), so a REST snapshot and any
sequence of stream updates agree without shared state.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from agent_market.market.replay.series import HOUR, MINUTE, VOLUME
from agent_market.market.replay.sides import StoredBooks, stored_books
from agent_market.market.replay.state import State
from agent_market.market.replay.tape import scramble

Levels = dict[int, float]  # price in ticks -> amount
UPDATE_MS = 100
_LEVELS = 200
_GRID = 0.5e-4  # half a basis point between derived levels
_REFRESH = 50  # updates that a derived level keeps its amount
_SHARE_OF_MINUTE = 0.1
_MOST_STEPS = 50
_FRESH_MS = HOUR  # an older stored book gives way to a derived one


class Book:
    """The order book of one instrument."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._filters = state.instrument.filters
        self._memo: tuple[int, tuple[Levels, Levels]] | None = None

    def update_id(self, now_ms: int) -> int:
        """Return the id of the book that is valid at `now_ms`."""
        return (now_ms - self.state.instrument.shift_ms) // UPDATE_MS

    def at(self, update_id: int) -> tuple[Levels, Levels]:
        """Return bids and asks, best first."""
        if self._memo is None or self._memo[0] != update_id:
            now = update_id * UPDATE_MS + self.state.instrument.shift_ms
            row = self._stored_row(now)
            sides = self._derived(now) if row is None else self._carried(row, now)
            self._memo = (update_id, sides)
        return self._memo[1]

    def changes(self, since_id: int, update_id: int) -> tuple[Levels, Levels]:
        """Return every level touched after `since_id`, with its amount now (0: gone)."""
        steps = range(since_id, update_id)
        if len(steps) > _MOST_STEPS:
            steps = range(since_id, since_id + 1)
        touched: tuple[set[int], set[int]] = (set(), set())
        for step in steps:
            after = update_id if len(steps) == 1 else step + 1
            for side, old, new in zip(touched, self._copy(step), self.at(after), strict=True):
                side.update(p for p in old.keys() | new.keys() if old.get(p) != new.get(p))
        bids, asks = self.at(update_id)
        return (
            {p: bids.get(p, 0.0) for p in sorted(touched[0], reverse=True)},
            {p: asks.get(p, 0.0) for p in sorted(touched[1])},
        )

    def _copy(self, update_id: int) -> tuple[Levels, Levels]:
        bids, asks = self.at(update_id)
        return dict(bids), dict(asks)

    @cached_property
    def _stored(self) -> StoredBooks | None:
        instrument = self.state.instrument
        return stored_books(instrument.datadir, instrument.pair, instrument.shift_ms)

    @cached_property
    def _grid_ticks(self) -> int:
        price = float(np.median(self.state.instrument.finest.values[:, 0]))
        return max(1, round(price * _GRID / self._filters.tick))

    @cached_property
    def _amount(self) -> float:
        series = self.state.instrument.finest
        traded = float(np.median(series.values[:, VOLUME])) * MINUTE / series.length_ms
        return max(self._filters.step, traded * _SHARE_OF_MINUTE)

    def _derived(self, now_ms: int) -> tuple[Levels, Levels]:
        ticks = round(self.state.last_price(now_ms) / self._filters.tick)
        best = ticks // self._grid_ticks
        bids = np.arange(best, max(0, best - _LEVELS), -1, dtype=np.int64)
        asks = np.arange(best + 1, best + 1 + _LEVELS, dtype=np.int64)
        return self._sized(bids, now_ms), self._sized(asks, now_ms)

    def _sized(self, levels: np.ndarray, now_ms: int) -> Levels:
        seed = self.state.instrument.seed
        phase = (scramble(levels, seed) * _REFRESH).astype(np.int64)
        turn = (self.update_id(now_ms) + phase) // _REFRESH
        uniform = scramble(levels * 1_000_003 + turn, seed + 1)
        amounts = np.round(self._amount * (0.25 + 1.5 * uniform), self._filters.amount_decimals)
        amounts = np.maximum(amounts, self._filters.step)
        return dict(zip((levels * self._grid_ticks).tolist(), amounts.tolist(), strict=True))

    def _stored_row(self, now_ms: int) -> tuple[StoredBooks, int] | None:
        if self._stored is None:
            return None
        row = int(np.searchsorted(self._stored.time_ms, now_ms, "right")) - 1
        is_fresh = row >= 0 and now_ms - self._stored.time_ms[row] <= _FRESH_MS
        return (self._stored, row) if is_fresh else None

    def _carried(self, stored: tuple[StoredBooks, int], now_ms: int) -> tuple[Levels, Levels]:
        books, row = stored
        moved = self.state.last_price(now_ms) - self.state.last_price(int(books.time_ms[row]))
        shift = round(moved / self._filters.tick)
        bids, asks = (
            {round(price / self._filters.tick) + shift: float(amount) for price, amount in levels}
            for levels in (books.levels(row, "bid"), books.levels(row, "ask"))
        )
        return {p: a for p, a in bids.items() if p > 0}, asks
