"""The arrays that an evaluator keeps, within a bound."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from agent_market.errors import ConfigError
from agent_market.expressions.kernels_numbers import FloatArray

_MEGABYTE = 2**20


class ArrayStore:
    """Arrays by key, and what makes room for another: first those that no one waits for.

    limit : bytes that all arrays together may take, those in use and those kept for later.
    peak : most bytes that they have taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._bytes = 0
        self._kept: OrderedDict[Hashable, FloatArray] = OrderedDict()  # least recently used first
        self._lent: set[Hashable] = set()
        self._pinned: Counter[Hashable] = Counter()
        self._waiting: Counter[Hashable] = Counter()

    def expect(self, keys: Iterable[Hashable]) -> None:
        """Say that each key will be used once more."""
        self._waiting.update(keys)

    def forget_expected(self) -> None:
        """Nothing is waited for any more."""
        self._waiting.clear()

    def use_up(self, key: Hashable) -> None:
        """Say that an expected use has been made."""
        self._waiting[key] -= 1

    def find(self, key: Hashable) -> FloatArray | None:
        """Return an array, or None where it was never computed or had to go."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def lend(self, key: Hashable) -> FloatArray:
        """Return a kept array that the caller may hold as long as it wants, read-only."""
        self._lent.add(key)
        found = self._kept[key]
        found.flags.writeable = False
        return found

    @contextmanager
    def pinned(self, key: Hashable) -> Iterator[None]:
        """Keep an array while it is read."""
        self._pinned[key] += 1
        try:
            yield
        finally:
            self._pinned[key] -= 1

    def make(
        self, key: Hashable, shape: tuple[int, int], dtype: np.dtype[np.floating]
    ) -> FloatArray:
        """Return a new array, its values undefined, after letting others go where it needs room.

        Raises
        ------
        ConfigError
            What is in use leaves no room.
        """
        size = shape[0] * shape[1] * dtype.itemsize
        made: FloatArray | None = None
        while self._bytes + size > self.limit:
            let_go = self._let_go(size)
            if let_go is not None and let_go.shape == shape and let_go.dtype == dtype:
                made = let_go  # memory that is mapped already is faster than new
                break
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
        self._kept[key] = np.empty(shape, dtype) if made is None else made
        return self._kept[key]

    def discard(self, key: Hashable) -> None:
        """Forget an array that is worth nothing."""
        self._bytes -= self._kept.pop(key).nbytes

    def _let_go(self, size: int) -> FloatArray | None:
        """Forget an array; return it where no one else may hold it."""
        free = (key for key in self._kept if self._pinned[key] <= 0)
        spent = next((key for key in free if self._waiting[key] <= 0), None)
        key = next((key for key in self._kept if self._pinned[key] <= 0), None)
        if key is None:
            raise ConfigError(
                f"an expression needs {(self._bytes + size) / _MEGABYTE:.1f} MB at once, the limit "
                f"is {self.limit / _MEGABYTE:.1f} MB. Raise agent_market.expressions.memory_mb, or "
                "compute fewer rows at a time."
            )
        key = key if spent is None else spent
        array = self._kept.pop(key)
        self._bytes -= array.nbytes
        if key in self._lent:
            self._lent.discard(key)
            return None
        return array
