"""The planted information coefficients, measured on simulated data, equal the documented ones.

Seeds are independent markets, so the spread over seeds gives the standard error; one pair a seed,
because the pairs of one market move together.
"""

from functools import cache

import numpy as np
import pytest

from agent_market.errors import ConfigError
from agent_market.market.simulator import (
    CROWDING,
    HORIZONS,
    OWN_HORIZON,
    SIGNALS,
    Drifts,
    PairMarket,
    candles_of,
    combined_coefficient,
    find_drifts,
    information_coefficient,
    signal_of,
    simulate,
)
from agent_market.market.simulator.derivatives import funding_of
from agent_market.settings import PlantedAlphaSettings, SimulatorSettings

SEEDS = range(12)
DAYS = 720
PAIR = "LTC/USDT:USDT"
TOLERATED_Z = 4.0  # 18 figures a market kind: chance of a false alarm below 1 in 500
BLOCK = 4 * 288  # four days of candles, longer than a regime and than any horizon


def settings_of(seed: int, no_alpha: bool) -> SimulatorSettings:
    return SimulatorSettings(seed=seed, days=DAYS, pairs=(PAIR,), no_alpha=no_alpha)


def measure(signal: np.ndarray, close: np.ndarray, horizon: int) -> float:
    forward = close[horizon:] / close[:-horizon] - 1
    return float(np.corrcoef(signal[:-horizon], forward)[0, 1])


def measure_all(pair: PairMarket) -> np.ndarray:
    close = candles_of(pair, "5m")["close"].to_numpy()
    return np.array([[measure(signal_of(pair, s), close, h) for h in HORIZONS] for s in SIGNALS])


@cache
def measured(no_alpha: bool) -> np.ndarray:
    """Return coefficients (n_seeds, n_signals, n_horizons)."""
    return np.array([measure_all(simulate(settings_of(s, no_alpha)).pairs[PAIR]) for s in SEEDS])


@cache
def documented() -> np.ndarray:
    drifts = find_drifts(settings_of(0, no_alpha=False))
    return np.array([[information_coefficient(s, h, drifts) for h in HORIZONS] for s in SIGNALS])


def z_scores(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return (samples.mean(axis=0) - truth) / error


def test_that_measured_coefficients_equal_the_documented_ones() -> None:
    z = z_scores(measured(no_alpha=False), documented())
    assert np.abs(z).max() < TOLERATED_Z, z


def test_that_the_measurement_would_notice_a_coefficient_that_is_a_tenth_off() -> None:
    # Every signal must be refuted at some horizon, else the test above proves nothing.
    for wrong in (0.9, 1.1):
        refuted = np.abs(z_scores(measured(no_alpha=False), wrong * documented())) > TOLERATED_Z
        assert refuted.any(axis=1)[:2].all()
    halved = np.abs(z_scores(measured(no_alpha=False), 0.5 * documented())) > TOLERATED_Z
    assert halved.any(axis=1).all()


def test_that_without_alpha_the_coefficients_are_within_noise_of_zero() -> None:
    z = z_scores(measured(no_alpha=True), np.zeros_like(documented()))
    assert np.abs(z).max() < TOLERATED_Z, z
    assert np.abs(measured(no_alpha=True).mean(axis=0)).max() < 0.01


def test_that_the_same_market_with_and_without_alpha_differs_by_the_documented_coefficient() -> (
    None
):
    # Both share every random draw, so most of the noise cancels: within 4 % of the value.
    difference = (measured(no_alpha=False) - measured(no_alpha=True)).mean(axis=0)
    np.testing.assert_allclose(difference, documented(), rtol=0.04, atol=0.001)


def test_that_one_half_year_agrees_within_its_block_bootstrap_error() -> None:
    pair = simulate(SimulatorSettings(seed=3, days=181, pairs=(PAIR,))).pairs[PAIR]
    close = candles_of(pair, "5m")["close"].to_numpy()
    drifts = find_drifts(SimulatorSettings())
    for signal in SIGNALS:
        horizon = OWN_HORIZON[signal]
        forward = close[horizon:] / close[:-horizon] - 1
        found = bootstrap(signal_of(pair, signal)[:-horizon], forward)
        truth = information_coefficient(signal, horizon, drifts)
        assert abs(found.mean() - truth) < 3.5 * found.std(ddof=1), signal


def bootstrap(signal: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Return correlations over 300 resamples of blocks."""
    generator = np.random.default_rng(1)
    n_blocks = len(signal) // BLOCK
    rows = np.arange(n_blocks * BLOCK).reshape(n_blocks, BLOCK)
    chosen = [rows[generator.integers(0, n_blocks, n_blocks)].ravel() for _ in range(300)]
    return np.array([np.corrcoef(signal[each], forward[each])[0, 1] for each in chosen])


def test_that_each_signal_has_its_set_coefficient_at_its_own_horizon() -> None:
    alpha = PlantedAlphaSettings(order_flow=0.11, regime=0.22, news=0.03)
    drifts = find_drifts(SimulatorSettings(alpha=alpha))
    for signal in SIGNALS:
        found = information_coefficient(signal, OWN_HORIZON[signal], drifts)
        assert found == pytest.approx(getattr(alpha, signal), abs=1e-9)


def test_that_the_combined_coefficient_is_the_root_of_the_sum_of_squares() -> None:
    drifts = find_drifts(SimulatorSettings())
    parts = [information_coefficient(signal, 12, drifts) for signal in SIGNALS]
    assert combined_coefficient(12, drifts) == pytest.approx(np.sqrt(np.sum(np.square(parts))))


def test_that_no_alpha_documents_zero() -> None:
    drifts = find_drifts(SimulatorSettings(no_alpha=True))
    assert drifts == Drifts()
    assert all(information_coefficient(s, h, drifts) == 0 for s in SIGNALS for h in HORIZONS)


def test_that_strengths_no_market_can_have_together_are_refused() -> None:
    alpha = PlantedAlphaSettings(order_flow=0.5, regime=0.5, news=0.5)
    with pytest.raises(ConfigError, match="Lower them"):
        find_drifts(SimulatorSettings(alpha=alpha))


@pytest.mark.parametrize("signal", SIGNALS)
def test_that_each_signal_alone_may_have_the_largest_strength(signal: str) -> None:
    alone = PlantedAlphaSettings(**{**dict.fromkeys(SIGNALS, 0.0), signal: 0.5})
    drifts = find_drifts(SimulatorSettings(alpha=alone))
    found = information_coefficient(signal, OWN_HORIZON[signal], drifts)
    assert found == pytest.approx(0.5, abs=1e-9)


def test_that_a_crowd_is_planted_on_request_with_the_documented_coefficient() -> None:
    alpha = PlantedAlphaSettings(order_flow=0, regime=0, news=0, crowding=0.3)
    found = []
    for seed in SEEDS:
        settings = SimulatorSettings(seed=seed, days=DAYS, pairs=(PAIR,), alpha=alpha)
        pair = simulate(settings).pairs[PAIR]
        close = candles_of(pair, "5m")["close"].to_numpy()
        found.append(measure(signal_of(pair, CROWDING), close, OWN_HORIZON[CROWDING]))
    error = np.std(found, ddof=1) / len(found) ** 0.5
    assert error < 0.03
    assert abs(np.mean(found) - 0.3) < TOLERATED_Z * error


def test_that_without_it_funding_predicts_nothing_and_the_market_is_as_it_was() -> None:
    plain = simulate(SimulatorSettings(seed=3, days=20, pairs=(PAIR,))).pairs[PAIR]
    alpha = PlantedAlphaSettings(crowding=0.3)
    crowded = simulate(SimulatorSettings(seed=3, days=20, pairs=(PAIR,), alpha=alpha)).pairs[PAIR]
    assert not plain.is_crowded
    np.testing.assert_array_equal(plain.crowding, crowded.crowding)
    np.testing.assert_array_equal(plain.shock, crowded.shock)
    rates = [funding_of(pair, 3)["open"] for pair in (plain, crowded)]
    assert rates[1].std() > 2 * rates[0].std()
