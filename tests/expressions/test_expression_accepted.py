"""`freqai_expressions.json`: what is read is what a campaign wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.expressions import Scope, parse_expression
from agent_market.expressions.accepted import (
    read_accepted,
    write_accepted,
)
from tests.accepted_expressions import accepted

FORMULAS = ("-rank(ts_mean(returns, 12))", 'feature("%-rsi") * ts_zscore(volume, 24)')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "freqai_expressions.json"
    write_accepted(path, accepted(*FORMULAS))
    return path


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    content["expressions"][1] |= changes
    path.write_text(json.dumps(content))


def test_what_was_written_is_read(path: Path) -> None:
    content = read_accepted(path)
    assert content == accepted(*FORMULAS)
    assert list(content.nodes().values()) == [parse_expression(text) for text in FORMULAS]


def test_an_empty_pool_is_a_file_too(tmp_path: Path) -> None:
    write_accepted(tmp_path / "empty.json", accepted())
    assert read_accepted(tmp_path / "empty.json").nodes() == {}


def test_a_formula_that_is_none_is_named(path: Path) -> None:
    name = accepted(*FORMULAS).expressions[1].name
    edit(path, formula="__import__('os')")
    with pytest.raises(ConfigError, match=rf"freqai_expressions.json: {name}: expression, char"):
        read_accepted(path)


def test_a_formula_that_was_exchanged_is_named(path: Path) -> None:
    name = accepted(*FORMULAS).expressions[1].name
    edit(path, formula="rank(volume)")
    with pytest.raises(ConfigError, match=f"{name}: the formula 'rank.volume.' has the hash"):
        read_accepted(path)


def test_a_feature_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown feature '%-rsi'"):
        read_accepted(path, Scope(features=frozenset({"%-adx"})))


def test_a_key_of_another_type_is_named(path: Path) -> None:
    edit(path, ic="high")
    with pytest.raises(ConfigError, match=r"expressions\.1\.ic: .*'high'"):
        read_accepted(path)


def test_an_expression_that_stands_twice_is_named(tmp_path: Path) -> None:
    write_accepted(tmp_path / "twice.json", accepted(FORMULAS[0], FORMULAS[0]))
    with pytest.raises(ConfigError, match=r"expr_[0-9a-f]{8} stands twice"):
        read_accepted(tmp_path / "twice.json")


def test_a_torn_file_is_reported(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StateCorrupt, match="not valid JSON"):
        read_accepted(path)
