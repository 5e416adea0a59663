"""Every group of the registry: no row knows the future, or more of the past than it says."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import ConfigError
from agent_market.features import GROUPS, STANDARDIZATIONS, FeatureInputs, Hook, compute_group
from agent_market.features.standardize import STANDARD_WINDOW
from agent_market.learning.checks import check_feature
from tests.features.group_inputs import CANDLE, ROWS, candles, inputs

PERIOD, LATE = 24, 700
# lengths of prefixes, and rows whose future is taken away: on and off hours and settlements
ENDS = (150, 299, 1152, 1157, 2401, 2599)


def _compute(name: str, given: FeatureInputs, standardization: str | None = None) -> pd.DataFrame:
    return compute_group(GROUPS[name], given, PERIOD, standardization)


@pytest.mark.parametrize("name", GROUPS)
def test_that_later_candles_do_not_change_a_group(name: str) -> None:
    whole = _compute(name, inputs())
    for rows in ENDS:
        prefix = _compute(name, inputs(0, rows))
        pd.testing.assert_frame_equal(prefix, whole.iloc[:rows], check_exact=True)


@pytest.mark.parametrize("name", GROUPS)
def test_that_a_row_needs_nothing_that_was_not_known_at_its_close(name: str) -> None:
    whole = _compute(name, inputs())
    for rows in ENDS:
        close = candles()["date"].iloc[rows - 1] + CANDLE
        known = _compute(name, inputs(0, rows, known_at=close))
        pd.testing.assert_frame_equal(known, whole.iloc[:rows], check_exact=True)


@pytest.mark.parametrize("name", GROUPS)
def test_that_a_group_reads_no_more_candles_than_it_says(name: str) -> None:
    memory = GROUPS[name].memory(PERIOD, "5m")
    whole, late = _compute(name, inputs()), _compute(name, inputs(LATE))
    known = LATE + memory
    pd.testing.assert_frame_equal(late.loc[known:], whole.loc[known:], check_exact=True)
    assert whole.loc[known:].notna().all().all()
    assert known < ROWS - 500


@pytest.mark.parametrize("standardization", STANDARDIZATIONS)
def test_that_a_standardization_sees_its_own_window_alone(standardization: str) -> None:
    whole = _compute("volume", inputs(), standardization)
    for rows in ENDS:
        prefix = _compute("volume", inputs(0, rows), standardization)
        pd.testing.assert_frame_equal(prefix, whole.iloc[:rows], check_exact=True)
    known = LATE + GROUPS["volume"].memory(PERIOD, "5m") + STANDARD_WINDOW - 1
    late = _compute("volume", inputs(LATE), standardization)
    pd.testing.assert_frame_equal(late.loc[known:], whole.loc[known:], check_exact=True)
    assert whole.loc[known:].notna().all().all()


@pytest.mark.parametrize("name", [n for n, g in GROUPS.items() if not g.needs])
def test_that_a_group_passes_the_check_that_the_agent_makes(name: str) -> None:
    check_feature(lambda frame: _compute(name, _with(frame)), candles(), n_probes=2)


def test_that_these_tests_catch_a_group_that_peeks() -> None:
    def of_the_future(given: FeatureInputs) -> dict[str, pd.Series]:
        return {"next": given.candles["close"].shift(-1)}

    def of_the_end(given: FeatureInputs) -> dict[str, pd.Series]:
        mark = given.candles_of(given.pair, "1h", "mark").set_index("date")["open"]
        held = mark.reindex(given.candles["date"] + pd.Timedelta("8h"), method="ffill")
        return {"next": pd.Series(held.to_numpy(), index=given.candles.index)}

    peeks = dataclasses.replace(GROUPS["candle"], compute=of_the_future)
    with pytest.raises(ConfigError, match="candle_next"):
        check_feature(lambda frame: compute_group(peeks, _with(frame)), candles(), n_probes=2)
    holds = dataclasses.replace(GROUPS["basis"], compute=of_the_end)
    close = candles()["date"].iloc[ENDS[2] - 1] + CANDLE
    known = compute_group(holds, inputs(0, ENDS[2], known_at=close))
    assert not known.equals(compute_group(holds, inputs()).iloc[: ENDS[2]])


def test_that_every_group_says_what_it_knows_when() -> None:
    for name, group in GROUPS.items():
        text = group.compute.__doc__ or ""
        assert "Information time: " in text, name
        assert group.summary.endswith("."), name
        assert name.isalpha(), "an ablation takes a name up to its first underscore for the group"


def test_that_columns_are_named_for_their_group_and_hook() -> None:
    for name, group in GROUPS.items():
        for column in _compute(name, inputs(0, 300)):
            assert column.startswith(f"%-{name}_")
            assert column.endswith("-period") == (group.hook is Hook.EXPAND_ALL)


@pytest.mark.parametrize("name", [n for n, g in GROUPS.items() if g.hook is Hook.EXPAND_ALL])
def test_that_a_market_that_stands_still_gives_nothing_infinite(name: str) -> None:
    still = candles().iloc[:400].assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0)
    assert not np.isinf(_compute(name, _with(still)).to_numpy()).any()


@pytest.mark.parametrize("name", [n for n in GROUPS if n not in ("basis", "crowding")])
def test_that_the_price_level_does_not_matter(name: str) -> None:
    scaled = candles().copy()
    scaled[["open", "high", "low", "close"]] *= 1024
    ours, theirs = _compute(name, inputs()), _compute(name, _with(scaled))
    np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-6)


def _with(frame: pd.DataFrame) -> FeatureInputs:
    return dataclasses.replace(inputs(), candles=frame)
