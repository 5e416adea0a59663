"""The words of an expression, read one at a time."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class TokenKind(Enum):
    """What a word is; `FOREIGN` is of no use in the language."""

    NUMBER = "number"
    NAME = "name"
    STRING = "string"
    SYMBOL = "symbol"
    FOREIGN = "foreign"
    END = "end"


class Token(NamedTuple):
    """A word and the characters [start, end) of the text where it stands."""

    kind: TokenKind
    text: str
    start: int
    end: int


_WORD = re.compile(
    r"""
    [ \t\r\n]*
    (?:
      (?P<number>
          (?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?
        | [0-9]+[eE][+-]?[0-9]+
        | 0+
        | [1-9][0-9]*
      )
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<string>"[^"\\\n]*"|'[^'\\\n]*')
    | (?P<foreign>\*\*|//|==|!=|<<|>>|&&|\|\||->|:=)
    | (?P<symbol><=|>=|[-+*/(),<>])
    | (?P<end>\Z)
    | (?P<other>.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)


def read_token(text: str, start: int) -> Token:
    """Return the first word at or after `start`; any text can be read, none takes long."""
    match = next(_WORD.finditer(text, start))  # it matches every text, at `start`
    group = str(match.lastgroup)
    kind = TokenKind.FOREIGN if group == "other" else TokenKind(group)
    return Token(kind, match[group], match.start(group), match.end(group))
