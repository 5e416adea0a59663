"""100,000 texts that are no expressions, or nearly none: nothing runs, crashes or takes long.

A text is read without a single audit event of the interpreter: no import, no file, no attribute
hook, and neither `exec` nor `compile`, since Python's own parser is not used.
"""

import ast
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from agent_market.errors import ExpressionError
from agent_market.expressions import (
    ExpressionBounds,
    Node,
    Scope,
    check_expression,
    format_expression,
    parse_expression,
)
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.operators import OPERATORS
from tests.expressions.expression_samples import SCOPE, drawn_expression
from tests.expressions.test_expression_text import as_python_reads, with_signs_in_constants

LONGEST_SECONDS = 0.05
LONGEST_MESSAGE = 2000
CANARY: list[str] = []

WIDEST = Scope(
    features=frozenset(
        f"%-{a}-period_{b}_shift-{c}" for a in "abc" for b in range(99) for c in "12"
    ),
    bounds=ExpressionBounds(max_characters=20_000, max_depth=32, max_nodes=150),
)

WORDS = (
    *(f"{name}(" for name in OPERATORS),
    *INPUTS,
    *"( ) ) ) , , + - * / < <= > >= 2 24 0.5 1e3 .5 07 -3".split(),  # noqa: SIM905
    "feature('%-rsi-period_14')",
    "at('1h',",
)
STRANGE = (
    "\0\t\n\r\f\v \u00a0\u2028\u3000\ud800\udfff\ufeff\u202e"
    "()[]{}'\"\\`$#@!%^&*-+=|~<>?/.,;:_０ｅ²é😀"
)
PYTHON = (
    "__import__('os').system('touch canary')",
    "__import__('tests.expressions.test_expression_fuzz').CANARY.append('called')",
    "CANARY.append('called')",
    "eval('CANARY.append(1)')",
    "exec('import os')",
    "open('/etc/passwd').read()",
    "close.__class__.__mro__[1].__subclasses__()",
    "().__class__.__bases__[0]",
    "close.__init__.__globals__['__builtins__']",
    "getattr(close, '__class__')",
    "[x for x in ().__class__.__base__.__subclasses__()]",
    "{x: x for x in range(10**9)}",
    "(x for x in iter(int, 1))",
    "(lambda: (yield))()",
    "lambda close: close",
    "(lambda f: f(f))(lambda f: f(f))",
    "f'{CANARY.append(1)}'",
    "f'{close!r:{open}}'",
    "'%s' % close",
    "'{0.__class__}'.format(close)",
    "(close := open)",
    "close = open",
    "del close",
    "import os",
    "from os import *",
    "class A: pass",
    "def f(): pass",
    "while True: pass",
    "assert close",
    "raise SystemExit",
    "exit()",
    "breakpoint()",
    "input()",
    "await close",
    "yield close",
    "ts_mean(*[close, 3])",
    "ts_mean(**{'x': close})",
    "ts_mean(close, n=3)",
    "close[open:high:low]",
    "close if open else high",
    "close and open or not high",
    "close is None",
    "close in (open,)",
    "9**9**9**9",
    "1 << 10**9",
    "0x10 + 0b1 + 0o7 + 1_000 + 1j",
    "True + None + ...",
    "b'close' + r'open' + u'high'",
    "'''close'''",
    "close; open",
    "close # open",
    "# -*- coding: rot13 -*-\nclose",
    "\\\nclose",
    "__close__",
    "__builtins__",
    "rank.__call__(close)",
    "rank(close)(open)",
    "rank(rank)",
    "at(close, '1h')",
    "at('__class__', close)",
    "feature(close)",
    "feature('__class__')",
    "feature('rsi').__class__",
    "feature('\\x41')",
    "at('" + "9" * 500 + "d', close)",
    "ts_mean(close, " + "9" * 400 + ")",
    "ts_mean(close, 1e308)",
    "ts_mean(close, -1e-308)",
    "ｃlose + ｒank(ｏpen)",
)


class Auditor:
    """Events of one thread while it is watched; a hook of the interpreter cannot be removed."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._watched: int | None = None
        sys.addaudithook(self._note)

    def _note(self, event: str, _: object) -> None:
        if self._watched == threading.get_ident():
            self.events.append(event)

    def __enter__(self) -> None:
        self._watched = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._watched = None


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    return Auditor()


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: in a large test process that alone takes longer."""
    gc.disable()
    yield
    gc.enable()


def pick(rng: np.random.Generator, choices: tuple[str, ...] | list[str] | str) -> str:
    return choices[int(rng.integers(len(choices)))]


def characters(rng: np.random.Generator, length: int) -> str:
    kind = int(rng.integers(4))
    if kind == 0:
        return rng.bytes(length).decode("latin-1")
    if kind == 1:
        return rng.bytes(length).decode("utf-8", "replace")
    if kind == 2:
        return "".join(map(chr, rng.integers(0, 0x11_0000, length)))
    return "".join(pick(rng, STRANGE) for _ in range(length))


def mutate(rng: np.random.Generator, text: str) -> str:
    first, last = sorted(int(place) for place in rng.integers(0, len(text) + 1, 2))
    last = min(last, first + 9)
    inserted = pick(rng, WORDS) if rng.random() < 0.5 else characters(rng, int(rng.integers(1, 4)))
    middle = (inserted, "", text[first:last] * 2, inserted + text[first:last])[int(rng.integers(4))]
    return text[:first] + middle + text[last:]


VALID = [format_expression(drawn_expression(seed)) for seed in range(300)]


def near(rng: np.random.Generator) -> str:
    text = pick(rng, VALID)
    for _ in range(int(rng.integers(1, 4))):
        text = mutate(rng, text)
    return text


def words(rng: np.random.Generator) -> str:
    return " ".join(pick(rng, WORDS) for _ in range(int(rng.integers(1, 12))))


def noise(rng: np.random.Generator) -> str:
    return characters(rng, int(rng.integers(0, 200)))


def python(rng: np.random.Generator) -> str:
    payload = pick(rng, PYTHON)
    around = ("{}", "rank({})", "close + {}", "{} / close", "ts_mean({}, 3)", "where({}, 1, 0)")
    text = pick(rng, around).replace("{}", payload)
    return mutate(rng, text) if rng.random() < 0.5 else text


def deep(rng: np.random.Generator) -> str:
    openings = (
        "(",
        "-",
        "- (",
        "rank(",
        "at('1h', ",
        "close + (",
        "1 < 2 + 3 * (",
        "[",
        "{",
        "not ",
    )
    opening = pick(rng, openings)
    length = int(rng.integers(1, 20_000 // len(opening)))
    closing = ")" * (length if rng.random() < 0.5 else 0)
    return opening * length + "close" + closing


def long(rng: np.random.Generator) -> str:
    parts = (
        "9",
        "a",
        ".",
        "'",
        '"',
        "#",
        "e",
        "1e",
        "0",
        " ",
        "\n",
        "-1",
        "close+",
        "close,",
        "*",
        "é",
    )
    part = pick(rng, parts)
    text = part * int(rng.integers(1, 20_000 // len(part)))
    around = (
        "{}",
        "ts_mean({}, 3)",
        "ts_mean(close, {})",
        "feature('{}')",
        "at('{}', close)",
        "0.{}",
    )
    return pick(rng, around).replace("{}", text)


def huge(rng: np.random.Generator) -> str:
    part = pick(rng, ("(", "-", "close + ", "9", "a", "\0", "'", "rank(", "[", "😀"))
    return part * (10_000_000 // len(part))


FAMILIES: dict[Callable[[np.random.Generator], str], int] = {
    near: 40_000,
    words: 20_000,
    python: 20_000,
    noise: 10_000,
    deep: 5_000,
    long: 5_000,
    huge: 30,
}


def read(text: str, scope: Scope, auditor: Auditor) -> Node | None:
    """Return what was accepted, after every promise to whoever passes a text was held."""
    node, refusal = None, None
    with auditor:
        started = time.thread_time()
        try:
            node = parse_expression(text, scope)
        except ExpressionError as error:
            refusal = error
        seconds = time.thread_time() - started
    assert seconds < LONGEST_SECONDS, text[:100]
    if refusal is not None:
        assert len(str(refusal).encode()) < LONGEST_MESSAGE
        assert refusal.position is not None and 0 <= refusal.position <= len(text)
    return node


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_that_no_text_runs_crashes_or_takes_long(
    family: Callable[[np.random.Generator], str], auditor: Auditor
) -> None:
    rng = np.random.default_rng(11)
    auditor.events.clear()
    accepted = []
    for number in range(FAMILIES[family]):
        text, scope = family(rng), (SCOPE, WIDEST)[number % 2]
        node = read(text, scope, auditor)
        if node is not None:
            accepted.append((text, node, scope))
        if number % 5000 == 0:
            gc.collect()
    assert auditor.events == CANARY == []
    for text, node, scope in accepted:
        check_expression(node, scope)
        tree = ast.parse(f"({text})", mode="eval").body
        read_again = with_signs_in_constants(as_python_reads(tree))
        assert read_again == with_signs_in_constants(node), text
    assert len(accepted) < FAMILIES[family] / 2
    assert accepted or family not in (near, words, python)


def test_that_the_auditor_would_have_seen_a_call(auditor: Auditor) -> None:
    auditor.events.clear()
    with auditor:
        eval("1 + 1")
        ast.parse("1 + 1")
    assert auditor.events.count("compile") == 2
    assert "exec" in auditor.events


def test_that_the_largest_expressions_are_read_and_printed_within_the_limit(
    auditor: Auditor,
) -> None:
    for text in (
        "-" * 149 + "close",
        "close" + " + close" * 31,
        "rank(" * 31 + "close" + ")" * 31,
        "(" * 64 + "close" + ")" * 64,
        "close < 1 + 2 * (" * 31 + "1" + ")" * 31,
        "where(" * 31 + "close > open" + ", 1, 0)" * 31,
    ):
        node = read(text, WIDEST, auditor)
        if node is not None:
            assert check_expression(node, WIDEST).n_nodes <= 150
