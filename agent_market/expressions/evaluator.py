"""Values of a batch of expressions on a panel: every common part once, on all cores, in bounds."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from agent_market.errors import ExpressionError
from agent_market.expressions.canonical import canonical_form
from agent_market.expressions.evaluator_memory import ArrayStore
from agent_market.expressions.kernels import KERNELS
from agent_market.expressions.kernels_numbers import FloatArray
from agent_market.expressions.kernels_timeframe import AGGREGATION, aggregate, join
from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import OPERATORS, Kind
from agent_market.expressions.panel import Panel, origin_of
from agent_market.expressions.suggestions import nearest
from agent_market.market.candles import timeframe_seconds

MEMORY_BYTES = 1 << 30
_VALUES_A_THREAD = 32_768  # fewer are computed sooner than handed over
_LARGE_PIECES = 0.75  # share of the rows that the threads begin with


class _Part(NamedTuple):
    """A node at the timeframe at which it stands."""

    timeframe: str
    node: Node


class _Grid(NamedTuple):
    """Rows of a timeframe: how many, and the base row with which the first one begins."""

    ratio: int
    offset: int
    n_rows: int


def _derived() -> dict[str, Node]:
    close, high, low = Input("close"), Input("high"), Input("low")
    before = Call("delay", (close, Constant(1)))
    total = Call("add", (Call("add", (high, low)), close))
    return {
        "returns": Call("sub", (Call("div", (close, before)), Constant(1))),
        "vwap": Call("div", (total, Constant(3))),
    }


_DERIVED: Mapping[str, Node] = MappingProxyType(
    {name: canonical_form(node) for name, node in _derived().items()}
)


class Evaluator:
    """Computes expressions on one panel.

    Parameters
    ----------
    panel : Panel
    memory_bytes : int
        Bound of what the evaluator keeps: values in use, and values kept for later batches. The
        panel itself, and arrays that the caller holds after the evaluator let them go, are not in
        it; neither are some MB of scratch a thread.
    threads : int
        Share the rows among so many. The values do not depend on it.

    Notes
    -----
    Expressions are those that `parse_expression` or `check_expression` accepts in a scope of the
    panel's timeframe, series and features. Values are of the panel's type; NaN as the table of
    operators says. Information time: row t uses rows <= t, all known when its candle closes.
    """

    def __init__(self, panel: Panel, memory_bytes: int = MEMORY_BYTES, threads: int = 1) -> None:
        self._panel = panel
        self._store = ArrayStore(memory_bytes)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._grids: dict[str, _Grid] = {}

    @property
    def peak_bytes(self) -> int:
        """Most bytes kept at once so far."""
        return self._store.peak

    def evaluate(self, nodes: Sequence[Node]) -> Iterator[FloatArray]:
        """Yield the values of each expression, in their order.

        Parts that several have in common are computed once, and kept as long as there is room,
        also for the batches after.

        Yields
        ------
        ndarray of shape (n_pairs, n_rows), read-only

        Raises
        ------
        ExpressionError
            The panel has not the series or the feature.
        ConfigError
            An expression needs more than `memory_bytes` at once.
        """
        roots = [self._part(node) for node in nodes]
        run = _Run(self, self._store, dict.fromkeys(_below(roots), 0))
        self._store.keeps_spent = self._bytes_of(run.first_rows) <= self._store.limit
        self._store.forget_expected()
        self._store.expect(roots)
        for part in run.first_rows:
            self._store.expect(set(_parts_of(part)))
        for root in roots:
            run.value(root)
            values = self._lend(root)
            self._store.use_up(root)
            yield values
            del values  # the caller may let it go

    def evaluate_last(self, nodes: Sequence[Node]) -> FloatArray:
        """Return the values of the newest row alone, from no more rows than they need.

        They are those of `evaluate` to the last bit, on this panel and on any that ends with the
        same rows, if it has the `lookback` rows before the newest one.

        Returns
        -------
        ndarray of shape (n_nodes, n_pairs)
        """
        roots = [self._part(node) for node in nodes]
        n_rows = self._panel.shape[1]
        first_rows = self._first_rows(roots, n_rows - 1)
        start = min((self._base_row(part, row) for part, row in first_rows.items()), default=0)
        if start > 0:
            tail = Evaluator(self._panel.rows(start, n_rows), self._store.limit)
            return tail.evaluate_last(nodes)
        run = _Run(self, ArrayStore(self._store.limit), first_rows)
        result = np.empty((len(roots), self._panel.shape[0]), self._panel.dtype)
        for place, root in enumerate(roots):
            result[place] = run.value(root)[:, -1]
        return result

    def _bytes_of(self, parts: Iterable[_Part]) -> int:
        """Return what the values of all parts take that are computed."""
        sizes = [math.prod(self.shape(part)) for part in parts if self.source(part) is None]
        return sum(sizes) * self.dtype.itemsize

    def _first_rows(self, roots: Sequence[_Part], first: int) -> dict[_Part, int]:
        """Return the first row of each part that the rows of `roots` from `first` on use."""
        rows = {part: self.grid(part.timeframe).n_rows for part in _below(roots)}
        rows.update(dict.fromkeys(roots, first))
        for part in reversed(rows):  # what uses a part stands after it
            for below, row in self._rows_used(part, rows[part]):
                rows[below] = min(rows[below], row)
        return rows

    def _base_row(self, part: _Part, row: int) -> int:
        grid = self.grid(part.timeframe)
        return max(0, grid.offset + row * grid.ratio)

    def _part(self, node: Node) -> _Part:
        return _part(self._panel.timeframe, self._canonical(node))

    def _canonical(self, node: Node) -> Node:
        return canonical_form(node)

    def _lend(self, part: _Part) -> FloatArray:
        source = self.source(part)
        return self._store.lend(part) if source is None else source

    def _rows_used(self, part: _Part, first: int) -> Iterator[tuple[_Part, int]]:
        """Yield the parts below, and the first row of each that rows from `first` on use."""
        node = part.node
        for below in _parts_of(part):
            if isinstance(node, At):
                ratio, offset = self.step(part.timeframe, node.timeframe)
                yield below, max(0, (first + 1 - offset) // ratio - 1)
            elif isinstance(node, Call):
                yield below, max(0, first - OPERATORS[node.operator].rows_before(_window(node)))

    def source(self, part: _Part) -> FloatArray | None:
        """Return a part that is an array of the panel; None where it is to be computed."""
        timeframe, node = part
        if isinstance(node, Feature):
            return self._array(self._panel.features, node.name, "feature")
        if isinstance(node, Input):
            found = self._array(self._panel.series, node.name, "series")
            return found if timeframe == self._panel.timeframe else None
        return None

    def _array(self, arrays: Mapping[str, FloatArray], name: str, what: str) -> FloatArray:
        if name in arrays:
            return arrays[name]
        known = ", ".join(map(repr, arrays)) or "none"
        raise ExpressionError(
            f"the panel has no {what} {name!r}. {nearest(name, arrays)} It has {known}."
        )

    def grid(self, timeframe: str) -> _Grid:
        """Return the rows that a timeframe has over the panel."""
        if timeframe not in self._grids:
            n_rows = self._panel.shape[1]
            ratio, offset = self.step(self._panel.timeframe, timeframe)
            self._grids[timeframe] = _Grid(ratio, offset, -((offset - n_rows) // ratio))
        return self._grids[timeframe]

    def step(self, shorter: str, longer: str) -> tuple[int, int]:
        """Return how many shorter candles make a longer one, and with which row its row 0 begins.

        Row 0 of any timeframe is the candle that holds the panel's first one.
        """
        base, short, long = map(timeframe_seconds, (self._panel.timeframe, shorter, longer))
        begun = self._panel.first_candle * base + origin_of(base)
        short_begun, long_begun = (
            (begun - origin_of(s)) // s * s + origin_of(s) for s in (short, long)
        )
        return long // short, (long_begun - short_begun) // short

    def kernel(self, part: _Part, inputs: Sequence[FloatArray]) -> Callable[..., None]:
        """Return what fills the rows of a part, given the values of the parts below."""
        timeframe, node = part
        if isinstance(node, Call):
            values = iter(inputs)
            args = (arg.value if isinstance(arg, Constant) else next(values) for arg in node.args)
            return partial(KERNELS[node.operator], *args)
        if isinstance(node, At):
            return partial(join, inputs[0], *self.step(timeframe, node.timeframe))
        if isinstance(node, Constant):
            return partial(_fill, node.value)
        grid, series = self.grid(timeframe), self._panel.series[node.name]
        return partial(aggregate, AGGREGATION[node.name], series, grid.ratio, grid.offset)

    def fill(self, kernel: Callable[..., None], out: FloatArray, first: int) -> None:
        """Run a kernel over the rows from `first` on, shared among the threads.

        Each takes a piece as it comes free: where a core is busy with something else, the others
        do not wait for it.
        """
        last = out.shape[1]
        shares = min(self._threads, (last - first) * out.shape[0] // _VALUES_A_THREAD)
        if self._pool is None or shares < 2:
            kernel(out, first, last)
            return
        cuts = [first + int((last - first) * share) for share in _cuts(shares)]
        pieces = deque(partial(kernel, out, *rows) for rows in itertools.pairwise(cuts))
        others = [self._pool.submit(_take_pieces, pieces) for _ in range(shares - 1)]
        try:
            _take_pieces(pieces)
        finally:
            pieces.clear()  # a thread that comes too late holds no array
            begun = [other for other in others if not other.cancel()]
            wait(begun)
        for other in begun:
            other.result()

    def shape(self, part: _Part) -> tuple[int, int]:
        """Return the shape of a part's values."""
        return self._panel.shape[0], self.grid(part.timeframe).n_rows

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Of all values."""
        return self._panel.dtype


class _Run:
    """One batch: from which row on each of its parts is wanted."""

    def __init__(self, owner: Evaluator, store: ArrayStore, first_rows: dict[_Part, int]) -> None:
        self._owner, self._store = owner, store
        self.first_rows = first_rows

    def value(self, part: _Part) -> FloatArray:
        """Return the values of a part, computed where they are not kept."""
        found = self._owner.source(part)
        if found is None:
            found = self._store.find(part)
        return self._compute(part) if found is None else found

    def _compute(self, part: _Part) -> FloatArray:
        below = _parts_of(part)
        with ExitStack() as reading:
            inputs = []
            for each in below:
                inputs.append(self.value(each))
                reading.enter_context(self._store.pinned(each))
            out = self._store.make(part, self._owner.shape(part), self._owner.dtype)
            reading.enter_context(self._store.pinned(part))
            try:
                kernel = self._owner.kernel(part, inputs)
                self._owner.fill(kernel, out, self.first_rows[part])
            except BaseException:
                self._store.discard(part)  # half filled
                raise
        for each in set(below):
            self._store.use_up(each)
        return out


def _parts_of(part: _Part) -> tuple[_Part, ...]:
    """Return the series directly below, left to right; literals are none."""
    timeframe, node = part
    if isinstance(node, At):
        return (_part(node.timeframe, node.body),)
    if isinstance(node, Call):
        return tuple(_part(timeframe, arg) for arg in node.args if not isinstance(arg, Constant))
    return ()


def _part(timeframe: str, node: Node) -> _Part:
    if isinstance(node, Input):
        node = _DERIVED.get(node.name, node)
    return _Part(timeframe, node)


def _below(roots: Sequence[_Part]) -> list[_Part]:
    """Return the different parts of a batch, each after those below it."""
    found: dict[_Part, None] = {}
    for root in roots:
        stack = [(root, False)]
        while stack:
            part, is_entered = stack.pop()
            if part in found:
                continue
            if is_entered:
                found[part] = None
                continue
            stack.append((part, True))
            stack.extend((each, False) for each in _parts_of(part))
    return list(found)


def _window(node: Call) -> int:
    arguments = OPERATORS[node.operator].arguments
    for argument, arg in zip(arguments, node.args, strict=True):
        if argument.kind is Kind.WINDOW and isinstance(arg, Constant):
            return int(arg.value)
    return 0


def _cuts(shares: int) -> list[float]:
    """Return where pieces of all the rows end: a large one a thread, then a small one."""
    large = [_LARGE_PIECES * k / shares for k in range(shares)]
    small = [_LARGE_PIECES + (1 - _LARGE_PIECES) * k / shares for k in range(shares)]
    return [*large, *small, 1.0]


def _take_pieces(pieces: deque[partial[None]]) -> None:
    while pieces:
        try:
            piece = pieces.popleft()
        except IndexError:  # another thread took the last one
            return
        piece()


def _fill(value: float, out: FloatArray, first: int, last: int) -> None:
    out[:, first:last] = value
