import random

import pytest

from agent_market.expressions import ExpressionBounds, Scope, parse_expression
from agent_market.expressions.nodes import Call, walk
from agent_market.expressions.operators import OPERATORS
from agent_market.llm.grammar import Reference, Rules, answer_grammar, expression_rules

SCOPES = {
    "default": Scope(),
    "spot with features": Scope(
        inputs=frozenset({"open", "close", "volume", "returns"}),
        features=frozenset({"%-rsi-period_14", "a b/c:d", "it's", "币安"}),
    ),
    "a campaign": Scope(
        bounds=ExpressionBounds(max_depth=6, max_nodes=24, max_window=288, max_lookback=600)
    ),
    "small": Scope(bounds=ExpressionBounds(max_depth=2, max_nodes=9, max_window=10)),
    "short memory": Scope(bounds=ExpressionBounds(max_lookback=40)),
    "no room": Scope(bounds=ExpressionBounds(max_depth=1, max_nodes=1, max_lookback=1)),
}


def _draw(rules: Rules, name: str, rng: random.Random) -> str:
    parts = rng.choice(rules[name])
    return "".join(
        _draw(rules, part.name, rng) if isinstance(part, Reference) else part for part in parts
    )


@pytest.mark.parametrize("name", SCOPES)
def test_that_whatever_the_grammar_makes_is_of_the_language(name: str) -> None:
    scope = SCOPES[name]
    rules, rng = expression_rules(scope), random.Random(5)
    for _ in range(400):
        parse_expression(_draw(rules, "expression", rng), scope)


def test_that_every_operator_and_series_can_be_written() -> None:
    scope = SCOPES["spot with features"]
    rules, rng = expression_rules(scope), random.Random(6)
    drawn = [parse_expression(_draw(rules, "expression", rng), scope) for _ in range(3000)]
    nodes = [node for each in drawn for node in walk(each)]
    assert {node.operator for node in nodes if isinstance(node, Call)} == set(OPERATORS)
    named = {getattr(node, "name", "") for node in nodes}
    assert named >= {"open", "close", "volume", "returns", "%-rsi-period_14"}


def test_that_every_rule_that_is_used_exists_and_has_an_alternative() -> None:
    for scope in SCOPES.values():
        rules = expression_rules(scope)
        used = {part.name for each in rules.values() for parts in each for part in parts
                if isinstance(part, Reference)}  # fmt: skip
        assert used <= set(rules)
        assert all(rules.values())


def test_that_the_root_is_a_json_object_of_so_many_expressions() -> None:
    root = answer_grammar(Scope(), 2).splitlines()[0]
    assert root == (
        r'root ::= "{\"expressions\": [" "\"" expression "\"" ", " "\"" expression "\"" "]}"'
    )
