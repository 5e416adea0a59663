"""Rank, median and quantile of a moving window, exact.

The rows of a chunk are sorted once; a row is then a number, its place in the order. The window is a
set of bits, one a place, with counts of the bits a word of 64 and a block of 32 words: to let a row
in or out costs three steps whatever the window, and to count the bits below a place, or to find the
k-th, some tens. Nothing is rounded on the way. `kernels_short` has what takes less for a short
window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

from agent_market.expressions.kernels_numbers import FloatArray, begin
from agent_market.expressions.kernels_short import between, short_quantiles, short_ranks

RANK, QUANTILE = range(2)
_SHORTEST_CHUNK = 2048
_SHORT = (256, 384)  # rows of the longest window that `kernels_short` does sooner
_WORD, _BLOCK = 6, 11  # bits of a place within a word of 64, within a block of 32 words

Places = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int32]


@intrinsic
def _n_bits(_context: Any, word: Any) -> Any:
    """Return how many bits of a word are set."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def _trailing_zeros(_context: Any, word: Any) -> Any:
    """Return the place of the lowest bit of a word that is not 0."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, True))

    return types.int64(types.uint64), generate


@intrinsic
def _leading_zeros(_context: Any, word: Any) -> Any:
    """Return how many bits stand above the highest one of a word that is not 0."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], context.get_constant(types.boolean, True))

    return types.int64(types.uint64), generate


@njit(nogil=True, cache=True, error_model="numpy")
def _lowest(bits: np.uint64) -> int:
    place: int = _trailing_zeros(bits)
    return place


@njit(nogil=True, cache=True, error_model="numpy")
def _highest(bits: np.uint64) -> int:
    place: int = 63 - _leading_zeros(bits)
    return place


@njit(nogil=True, cache=True, error_model="numpy")
def _turn(place: int, by: int, words: Words, in_word: Counts, in_block: Counts) -> None:
    """Let a place in (`by` 1) or out (-1)."""
    words[place >> _WORD] ^= np.uint64(1) << np.uint64(place & 63)
    in_word[place >> _WORD] += by
    in_block[place >> _BLOCK] += by


@njit(nogil=True, cache=True, error_model="numpy")
def _count_below(place: int, words: Words, in_word: Counts, in_block: Counts) -> int:
    word, block = place >> _WORD, place >> _BLOCK
    total = 0
    for k in range(block):
        total += in_block[k]
    begun = block << (_BLOCK - _WORD)
    for k in range(32):  # a fixed count lets the compiler use vectors
        total += in_word[begun + k] if begun + k < word else 0
    below = (np.uint64(1) << np.uint64(place & 63)) - np.uint64(1)
    in_this: int = _n_bits(words[word] & below)
    return total + in_this


@njit(nogil=True, cache=True, error_model="numpy")
def _find(k: int, words: Words, in_word: Counts, in_block: Counts) -> int:
    """Return the place of the k-th bit, from 0."""
    block = 0
    while k >= in_block[block]:
        k -= in_block[block]
        block += 1
    word = block << (_BLOCK - _WORD)
    while k >= in_word[word]:
        k -= in_word[word]
        word += 1
    bits = words[word]
    for _ in range(k):
        bits &= bits - np.uint64(1)
    place: int = (word << _WORD) + _lowest(bits)
    return place


@njit(nogil=True, cache=True, error_model="numpy")
def _find_next(place: int, words: Words) -> int:
    """Return the place of the bit after a place."""
    word = (place + 1) >> _WORD
    bits = words[word] & ~((np.uint64(1) << np.uint64((place + 1) & 63)) - np.uint64(1))
    while not bits:
        word += 1
        bits = words[word]
    found: int = (word << _WORD) + _lowest(bits)
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _find_last(place: int, words: Words) -> int:
    """Return the place of the bit before a place."""
    word = place >> _WORD
    bits = words[word] & ((np.uint64(1) << np.uint64(place & 63)) - np.uint64(1))
    while not bits:
        word -= 1
        bits = words[word]
    found: int = (word << _WORD) + _highest(bits)
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _number_rows(x: FloatArray, order: Places, place: Places, low: Places, high: Places) -> None:
    """Write each row's place, -1 for NaN, and the first and last place of its value."""
    known = 0
    for k in range(x.size):
        row = order[k]
        if x[row] != x[row]:
            break
        known += 1
        place[row] = k
        low[row] = low[order[k - 1]] if k > 0 and x[row] == x[order[k - 1]] else k
    for k in range(known - 1, -1, -1):
        row = order[k]
        is_last = k == known - 1 or x[row] != x[order[k + 1]]
        high[row] = k if is_last else high[order[k + 1]]
    for k in range(known, x.size):
        place[order[k]] = -1


@njit(nogil=True, cache=True, error_model="numpy")
def _bits_of(rows: int) -> tuple[Words, Counts, Counts]:
    """Return an empty set of the places of `rows` rows, with room for whole blocks."""
    blocks = (rows >> _BLOCK) + 1
    n_words = blocks << (_BLOCK - _WORD)
    return np.zeros(n_words, np.uint64), np.zeros(n_words, np.int32), np.zeros(blocks, np.int32)


@njit(nogil=True, cache=True, error_model="numpy")
def _rank_rows(x: FloatArray, order: Places, n: int, out: FloatArray) -> None:
    rows = x.size
    place, low, high = np.empty(rows, np.intp), np.empty(rows, np.intp), np.empty(rows, np.intp)
    _number_rows(x, order, place, low, high)
    words, in_word, in_block = _bits_of(rows)
    inside = 0
    for row in range(rows):
        if row >= n and place[row - n] >= 0:
            _turn(place[row - n], -1, words, in_word, in_block)
            inside -= 1
        if place[row] >= 0:
            _turn(place[row], 1, words, in_word, in_block)
            inside += 1
        if row < n - 1:
            continue
        if inside < n:
            out[row - n + 1] = np.nan
            continue
        below, alike = _count_below(low[row], words, in_word, in_block), 1
        if high[row] > low[row]:
            alike = _count_below(high[row] + 1, words, in_word, in_block) - below
        out[row - n + 1] = (below + (alike - 1) / 2) / (n - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _move(at: int, inserted: int, removed: int, words: Words) -> int:
    """Return where the k-th bit is that was at `at` before one bit came and another went."""
    # one branch a direction, which is rarer taken and better guessed than one a comparison
    moved: int = at
    if (inserted < at) & (removed >= at):
        moved = _find_last(at, words)
    elif (inserted > at) & (removed <= at):
        moved = _find_next(at, words)
    return moved


@njit(nogil=True, cache=True, error_model="numpy")
def _quantile_rows(x: FloatArray, order: Places, n: int, share: float, out: FloatArray) -> None:
    rows = x.size
    place = np.empty(rows, np.intp)
    for k in range(rows):
        place[order[k]] = k if x[order[k]] == x[order[k]] else -1
    words, in_word, in_block = _bits_of(rows)
    whole = int(share * (n - 1))
    part = share * (n - 1) - whole
    inside, at = 0, -1
    for row in range(rows):
        new, old = place[row], place[row - n] if row >= n else -1
        if old >= 0:
            _turn(old, -1, words, in_word, in_block)
            inside -= 1
        if new >= 0:
            _turn(new, 1, words, in_word, in_block)
            inside += 1
        if inside < n:
            at = -1
            if row >= n - 1:
                out[row - n + 1] = np.nan
            continue
        at = _move(at, new, old, words) if at >= 0 else _find(whole, words, in_word, in_block)
        value = x[order[at]] + 0.0  # one zero: the order does not tell two apart
        if part > 0:
            value = between(value, x[order[_find_next(at, words)]], part)
        out[row - n + 1] = value if value - value == 0 else np.nan


def order_statistics(
    op: int, share: float, x: FloatArray, n: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill in the rank of x among its last n values, or (QUANTILE) their quantile `share`."""
    known, step = begin(out, first, last, n), max(_SHORTEST_CHUNK, 4 * n)
    if known == last:
        return
    if n <= _SHORT[op]:
        if op == RANK:
            short_ranks(x, n, out, known, last)
        else:
            short_quantiles(x, n, share, out, known, last)
        return
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows, part = x[pair, start - n + 1 : stop], out[pair, start:stop]
            if op == RANK:
                _rank_rows(rows, np.argsort(rows), n, part)
            else:
                _quantile_rows(rows, np.argsort(rows), n, share, part)
