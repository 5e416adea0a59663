"""Nodes are values: equal, hashable, and the same in every process."""

import os
import pickle
import subprocess
import sys

import pytest
from hypothesis import given

from agent_market.errors import ExpressionError
from agent_market.expressions import Call, Constant, Feature, Input, Node, parse_expression
from agent_market.expressions.nodes import walk
from tests.expressions.expression_samples import expressions

PARTS = "rank(ts_mean(close, 5)) + ts_mean(close, 5) / close"


@given(expressions)
def test_that_equal_expressions_are_one_key(node: Node) -> None:
    again = pickle.loads(pickle.dumps(node))
    assert again == node and hash(again) == hash(node)
    assert {node: "value"}[again] == "value"
    assert Call("neg", (node,)) != node


def test_that_common_parts_of_expressions_are_found_by_equality() -> None:
    parts = list(walk(parse_expression(PARTS)))
    assert parts.count(parse_expression("ts_mean(close, 5)")) == 2
    assert len(set(parts)) == 6


def test_that_nodes_of_different_kinds_differ() -> None:
    assert Input("close") != Feature("close")
    assert Constant(0.0) == Constant(-0.0)
    assert Constant(3) == Constant(3.0)


def test_that_a_node_keeps_its_key_in_a_process_with_other_string_hashes() -> None:
    script = (
        "import pickle, sys; from agent_market.expressions import parse_expression;"
        "node = pickle.load(sys.stdin.buffer);"
        f"print({{parse_expression({PARTS!r}): 'found'}}[node])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(parse_expression(PARTS)),
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == "found"


def test_that_a_node_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Input("close").name = "open"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "a\\b", "a\nb", "\ud800", "'\""])
def test_that_a_feature_name_can_be_quoted(name: str) -> None:
    with pytest.raises(ExpressionError, match="cannot be quoted"):
        Feature(name)


def test_that_an_error_keeps_its_place_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ExpressionError("no", 3)))
    assert (str(error), error.position) == ("no", 3)
