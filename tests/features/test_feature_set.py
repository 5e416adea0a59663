import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent_market.errors import ConfigError
from agent_market.features import (
    GROUPS,
    FeatureSet,
    Hook,
    compute_group,
    read_feature_set,
    write_feature_set,
)
from agent_market.features.feature_set import narrow_parameters
from tests.features.group_inputs import inputs

CHOSEN: dict[str, Any] = {
    "groups": ["momentum", "volume", "candle", "market"],
    "standardization": {"volume": "rank"},
    "periods": [12, 48],
    "timeframes": ["5m"],
    "correlated_pairs": ["BTC/USDT:USDT"],
}
CONFIGURED = {
    "include_timeframes": ["5m", "1h"],
    "include_corr_pairlist": ["BTC/USDT:USDT", "ETH/USDT:USDT"],
    "indicator_periods_candles": [24],
    "include_shifted_candles": 1,
}


def _written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({"schema": 1, **CHOSEN, **changes}))
    return path


def test_that_what_is_written_is_read_again(tmp_path: Path) -> None:
    chosen = FeatureSet(**CHOSEN, provenance={"seed": 7})
    write_feature_set(tmp_path / "set.json", chosen)
    found = read_feature_set(tmp_path / "set.json")
    assert found is not None
    assert found.content() == chosen.content()
    assert found.hash == chosen.content_hash
    assert found.provenance == {"seed": 7}


def test_that_no_file_is_no_feature_set(tmp_path: Path) -> None:
    assert read_feature_set(tmp_path / "absent.json") is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"groups": ["momentun"]}, r"groups: unknown group 'momentun'. Did you mean 'momentum'"),
        ({"groups": []}, r"groups: Tuple should have at least 1 item"),
        ({"groups": ["volume", "volume"]}, r"groups: volume is there more than once"),
        ({"standardization": {"volume": "rang"}}, r"Did you mean 'rank'"),
        ({"standardization": {"flow": "rank"}}, r"\['flow'\], which are not among the groups"),
        ({"periods": [1]}, r"periods: 1 candles lie outside 4..500"),
        ({"periods": ["x"]}, r"periods.0: Input should be a valid integer"),
        ({"correlated_pairs": []}, r"market needs at least one of correlated_pairs"),
        ({"schema": 2}, r"schema: Input should be 1"),
        ({"colour": 1}, r"colour: Extra inputs are not permitted"),
        ({"hash": "0" * 64}, r"hash: 000000000000... is not that of the content"),
    ],
)
def test_that_a_mistake_names_file_and_key(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    path = _written(tmp_path / "set.json", **changes)
    with pytest.raises(ConfigError, match=told) as error:
        read_feature_set(path)
    assert str(error.value).startswith(str(path))


def test_that_a_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(CHOSEN)[:40])
    with pytest.raises(ConfigError, match=r"set.json is not valid JSON"):
        read_feature_set(path)


def test_that_a_file_by_hand_needs_no_hash(tmp_path: Path) -> None:
    found = read_feature_set(_written(tmp_path / "set.json"))
    assert found is not None and found.hash is None


def test_that_each_hook_adds_its_own_groups() -> None:
    chosen, given = FeatureSet(**CHOSEN), inputs(0, 800)
    every = chosen.add(given, Hook.EXPAND_ALL, 48)
    added = [name for name in every if name.startswith("%-")]
    assert {name.split("_")[0] for name in added} == {"%-momentum", "%-volume"}
    assert {name.split("_")[0] for name in chosen.add(given, Hook.STANDARD).filter(like="%-")} == {
        "%-market"
    }
    pd.testing.assert_frame_equal(every[given.candles.columns], given.candles)
    ranked = compute_group(GROUPS["volume"], given, 48, "rank")
    pd.testing.assert_frame_equal(every[ranked.columns], ranked)


def test_that_the_memory_is_that_of_the_longest_group() -> None:
    assert FeatureSet(**CHOSEN).memory("5m") == 4 * 48 + 287  # volume, ranked
    plain = {**CHOSEN, "standardization": {}}
    assert FeatureSet(**plain).memory("5m") == 288  # market


def test_that_the_configuration_is_narrowed_and_again_to_the_same() -> None:
    chosen = FeatureSet(**CHOSEN)
    once = narrow_parameters(chosen, CONFIGURED, "5m", Path("set.json"))
    assert once["indicator_periods_candles"] == [12, 48]
    assert once["include_timeframes"] == ["5m"]
    assert once["include_corr_pairlist"] == ["BTC/USDT:USDT"]
    assert once["include_shifted_candles"] == 1
    assert narrow_parameters(chosen, once, "5m", Path("set.json")) == once


def test_that_other_groups_are_other_parameters() -> None:
    other = FeatureSet(**{**CHOSEN, "groups": ["momentum", "volume", "market"]})
    ours = narrow_parameters(FeatureSet(**CHOSEN), CONFIGURED, "5m", Path("set.json"))
    assert ours != narrow_parameters(other, CONFIGURED, "5m", Path("set.json"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"timeframes": ["5m", "4h"]}, r"set.json: timeframes: 4h is not in .*include_timeframes"),
        ({"timeframes": ["1h"]}, r"set.json: timeframes: the strategy's own 5m is missing"),
        (
            {"correlated_pairs": ["SOL/USDT:USDT"]},
            r"correlated_pairs: SOL/USDT:USDT is not in .*include_corr_pairlist",
        ),
    ],
)
def test_that_what_is_not_configured_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        narrow_parameters(FeatureSet(**{**CHOSEN, **changes}), CONFIGURED, "5m", Path("set.json"))
