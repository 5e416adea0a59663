"""`freqai_expressions.json`: the expressions a campaign accepted, each with its record."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from agent_market.errors import ConfigError, ExpressionError
from agent_market.expressions.canonical import expression_hash
from agent_market.expressions.nodes import Node
from agent_market.expressions.parser import check_expression, parse_expression
from agent_market.expressions.scope import Scope
from agent_market.settings import Section
from agent_market.store import read_json, write_json

_EVERYWHERE = Scope()
_NAME_DIGITS = 8


class AcceptedExpression(Section):
    """One expression and how it was found good; figures of the search rows, if not said otherwise.

    name : of its column, `expr_` and the first digits of the hash; FreqAI's is `%-expr_...`.
    formula, expression_hash : its canonical form, and that form's SHA-256.
    ic, icir, rank_ic, fold_ics : coefficients with the label.
    t, t_threshold : t value, and what it had to exceed for the trials counted until then.
    confirmation_ic, confirmation_t, confirmation_threshold : on rows the search never saw; None in
        a file between two rounds of a campaign, which nothing but the flow reads.
    nearest, correlation : the most alike feature or member when it was accepted.
    gain_ic, gain_t : what the pooled model gained.
    turnover, gross_bps, net_bps : a candle; the costs are the campaign's.
    decay : coefficient over other horizons, by candles.
    """

    name: str
    formula: str
    expression_hash: str
    ic: float
    icir: float | None
    rank_ic: float | None
    fold_ics: tuple[float, ...]
    t: float
    t_threshold: float
    confirmation_ic: float | None
    confirmation_t: float | None
    confirmation_threshold: float | None
    nearest: str
    correlation: float
    gain_ic: float
    gain_t: float
    turnover: float
    gross_bps: float
    net_bps: float
    decay: dict[str, float | None]


class AcceptedExpressions(Section):
    """The file.

    campaign, data_hash : which campaign, on which data.
    n_trials : different expressions scored until it was written.
    """

    schema_version: Literal[1] = 1
    campaign: str
    data_hash: str
    timeframe: str
    horizon_candles: int = Field(ge=1)
    cost_bps: float
    n_trials: int = Field(ge=0)
    expressions: tuple[AcceptedExpression, ...]

    def nodes(self, scope: Scope = _EVERYWHERE) -> dict[str, Node]:
        """Return the expressions by name; they are those that `read_accepted` checked."""
        return {each.name: parse_expression(each.formula, scope) for each in self.expressions}

    def lookback(self, scope: Scope = _EVERYWHERE) -> int:
        """Return how many candles before its own the longest expression uses."""
        nodes = self.nodes(scope).values()
        return max((check_expression(node, scope).lookback for node in nodes), default=0)


def expression_name(digest: str) -> str:
    """Return the column name of an expression by its hash: `expr_1a2b3c4d`."""
    return f"expr_{digest[:_NAME_DIGITS]}"


def write_accepted(path: Path, content: AcceptedExpressions) -> None:
    """Write the file atomically."""
    write_json(path, content.model_dump(mode="json"))


def read_accepted(path: Path, scope: Scope = _EVERYWHERE) -> AcceptedExpressions:
    """Return the content of the file, every formula read again within `scope`.

    Raises
    ------
    StateCorrupt
        The file is not JSON.
    ConfigError
        A key is missing, unknown or of another type, a formula is not of the language, or its hash
        or name is another's; the message names the expression.
    """
    try:
        content = AcceptedExpressions.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path}: {place}: {first['msg']}, found {str(first['input'])[:80]!r}. Write the file "
            "by a campaign, or delete it."
        ) from error
    _require_distinct_names(path, content)
    for each in content.expressions:
        _check(path, each, scope)
    return content


def _check(path: Path, each: AcceptedExpression, scope: Scope) -> None:
    try:
        found = expression_hash(parse_expression(each.formula, scope))
    except ExpressionError as error:
        raise ConfigError(f"{path}: {each.name}: {error}") from error
    if found != each.expression_hash or each.name != expression_name(found):
        raise ConfigError(
            f"{path}: {each.name}: the formula {each.formula!r} has the hash {found[:16]}..., not "
            f"{each.expression_hash[:16]}.... The file was edited: write it by a campaign."
        )


def _require_distinct_names(path: Path, content: AcceptedExpressions) -> None:
    names = [each.name for each in content.expressions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: {twice[0]} stands twice. Keep one of them.")
