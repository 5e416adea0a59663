"""The arrays that an evaluator keeps, within a bound, and their memory, which is used again."""

from __future__ import annotations

import weakref
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from agent_market.errors import ConfigError
from agent_market.expressions.kernels_numbers import FloatArray

_MEGABYTE = 2**20
_BOUNDARY = 64  # bytes


class _Memory:
    """Bytes that several arrays use one after another, on a boundary of vector instructions."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = np.empty(size + _BOUNDARY, np.uint8)
        start = -self._bytes.ctypes.data % _BOUNDARY
        self.__array_interface__: dict[str, Any] = self._bytes[
            start : start + size
        ].__array_interface__


def _take_back(store: weakref.ref[ArrayStore], memory: _Memory) -> None:
    found = store()
    if found is not None:
        found.take_back(memory)


class ArrayStore:
    """Arrays by key, and what makes room for another: first those that no one waits for.

    limit : bytes that all arrays together may take: those in use, those kept for later, and the
        memory of those let go that waits for the next ones.
    peak : most bytes that they have taken.
    keeps_spent : whether an array that no one waits for any more stays as long as there is room.
        Where it goes at once, the next one is written into memory that the processor still has
        in its caches.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self.keeps_spent = True
        self._bytes = 0  # of the arrays kept
        self._kept: OrderedDict[Hashable, FloatArray] = OrderedDict()  # least recently used first
        self._free: list[_Memory] = []  # the one used last at the end
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
        if not self.keeps_spent and key in self._kept and self._is_spent(key):
            self.discard(key)

    def find(self, key: Hashable) -> FloatArray | None:
        """Return an array, or None where it was never computed or had to go."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def lend(self, key: Hashable) -> FloatArray:
        """Return a kept array that the caller may hold as long as it wants, read-only."""
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
        memory = self._find_memory(size)
        while memory is None and self._bytes + self._free_bytes() + size > self.limit:
            if self._free:
                self._free.pop(0)
            else:
                self._let_go(size)
                memory = self._find_memory(size)
        if memory is None:
            memory = _Memory(size)
        self._bytes += size
        self.peak = max(self.peak, self._bytes + self._free_bytes())
        owner = np.asarray(memory)
        # every view that the caller takes of the array holds `owner`
        weakref.finalize(owner, _take_back, weakref.ref(self), memory).atexit = False
        self._kept[key] = owner.view(dtype).reshape(shape)
        return self._kept[key]

    def discard(self, key: Hashable) -> None:
        """Forget an array; its memory is used again once no one holds it."""
        array = self._kept.pop(key)
        self._bytes -= array.nbytes

    def take_back(self, memory: _Memory) -> None:
        """Keep memory that no one uses for the next array, where there is room."""
        if self._bytes + self._free_bytes() + memory.size <= self.limit:
            self._free.append(memory)

    def _find_memory(self, size: int) -> _Memory | None:
        found = [k for k, memory in enumerate(self._free) if memory.size == size]
        return self._free.pop(found[-1]) if found else None

    def _free_bytes(self) -> int:
        return sum(memory.size for memory in self._free)

    def _is_spent(self, key: Hashable) -> bool:
        return self._waiting[key] <= 0 and self._pinned[key] <= 0

    def _let_go(self, size: int) -> None:
        """Forget an array."""
        spent = next((key for key in self._kept if self._is_spent(key)), None)
        key = next((key for key in self._kept if self._pinned[key] <= 0), None)
        if key is None:
            raise ConfigError(
                f"an expression needs {(self._bytes + size) / _MEGABYTE:.1f} MB at once, the limit "
                f"is {self.limit / _MEGABYTE:.1f} MB. Raise agent_market.expressions.memory_mb, or "
                "compute fewer rows at a time."
            )
        self.discard(key if spent is None else spent)
