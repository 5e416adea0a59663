"""Funding as a share of a position's value."""

import numpy as np
import pytest

from agent_market.errors import DataError
from agent_market.rl.paths import funding_shares

HOURS = np.datetime64("2025-01-01T00:00") + np.arange(10) * np.timedelta64(1, "h")


def test_that_funding_is_charged_at_the_open_of_its_candle_on_the_mark_price() -> None:
    prices = np.full(10, 200.0)
    dates = np.array(["2024-12-31T16:00", "2025-01-01T00:00", "2025-01-01T08:00"], "datetime64[m]")
    shares = funding_shares(
        HOURS, prices, dates, np.array([9.0, 1e-4, 2e-4]), np.array([1.0, 100.0, 300.0])
    )
    assert shares == pytest.approx([0.5e-4, 0, 0, 0, 0, 0, 0, 0, 3e-4, 0], rel=1e-12)


def test_that_a_missing_rate_or_mark_price_charges_nothing() -> None:
    shares = funding_shares(HOURS, np.ones(10), HOURS[:2], np.array([np.nan, 1e-4]), np.ones(2))
    assert shares.tolist()[:2] == [0, 1e-4]


def test_that_funding_within_a_candle_is_refused() -> None:
    days = HOURS[0] + np.arange(3) * np.timedelta64(1, "D")
    with pytest.raises(DataError, match=r"08:00.*where no candle opens"):
        funding_shares(days, np.ones(3), HOURS[8:9], np.ones(1), np.ones(1))
