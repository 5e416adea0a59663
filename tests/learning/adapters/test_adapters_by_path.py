"""Adapters that are not in the registry are imported by their name."""

import sys
from pathlib import Path

import numpy as np
import pytest

from agent_market.errors import ConfigError
from agent_market.learning.adapters import create, load_adapter

MODULE = """
from agent_market.learning.adapters.linear import LinearRegressor

class Mine(LinearRegressor):
    name = "my_adapters:Mine"

class Misnamed(LinearRegressor):
    name = "another"
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_adapters.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_adapters", raising=False)


def test_that_an_adapter_is_made_and_loaded_by_module_and_class(tmp_path: Path) -> None:
    table = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    fitted = create("my_adapters:Mine").fit(table, table[:, 0], seed=1)
    fitted.save(tmp_path / "mine.model")
    loaded = load_adapter(tmp_path / "mine.model")
    assert type(loaded).__name__ == "Mine"
    np.testing.assert_array_equal(loaded.predict(table), fitted.predict(table))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Mine", "No module named 'no_such_module'"),
        ("my_adapters:Yours", "has no attribute 'Yours'"),
        ("my_adapters:Misnamed", "whose `name` is 'my_adapters:Misnamed'"),
        ("os:path", "not a ModelAdapter"),
    ],
)
def test_that_a_wrong_path_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(name)
