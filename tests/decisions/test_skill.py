import numpy as np
import pandas as pd
import pytest

from agent_market.decisions.modes import choose_modes
from agent_market.decisions.skill import realized_skill
from agent_market.settings import ModeSettings

HORIZON = 12


def _record(n_days: int, share: float, seed: int = 1) -> pd.DataFrame:
    """Return candles of 5 minutes and predictions that hold `share` of what follows."""
    random = np.random.default_rng(seed)
    n_rows = n_days * 288
    close = pd.Series(100 * np.exp(np.cumsum(0.001 * random.standard_normal(n_rows))))
    ahead = close.shift(-HORIZON) / close - 1
    noise = 0.0035 * random.standard_normal(n_rows)
    date = pd.date_range("2025-01-01", periods=n_rows, freq="5min", tz="UTC")
    prediction = share * ahead.fillna(0) + (1 - share) * noise
    return pd.DataFrame({"date": date, "close": close, "prediction": prediction})


def _skill(record: pd.DataFrame, days: int = 28, min_days: int = 7) -> pd.Series:
    return realized_skill(record, HORIZON, "5m", days, min_days)


def test_that_predictions_that_come_true_are_told_from_noise() -> None:
    seen = [_skill(_record(28, 0.2, seed)).iloc[-1] for seed in range(20)]
    noise = [_skill(_record(28, 0.0, seed)).iloc[-1] for seed in range(20)]
    assert min(seen) > 2
    assert np.mean(noise) == pytest.approx(0, abs=0.7)
    assert np.std(noise, ddof=1) == pytest.approx(1, abs=0.4)  # it is a t


def test_that_nothing_is_said_before_there_are_enough_days() -> None:
    skill = _skill(_record(10, 0.2))
    known = skill.notna().to_numpy()
    # the last candle of a day closes at midnight, and belongs to the day that it ends
    first = int(np.flatnonzero(known)[0])
    assert first == 7 * 288
    assert known[first:].all()
    assert (skill.iloc[7 * 288 : 8 * 288] == skill.iloc[first]).all()


def test_that_no_row_changes_when_the_future_comes() -> None:
    record = _record(12, 0.2)
    whole = _skill(record)
    for end in (8 * 288 + 1, 9 * 288, 10 * 288 + 77):
        pd.testing.assert_series_equal(_skill(record.iloc[:end]), whole.iloc[:end])
    later = record.copy()
    later.loc[9 * 288 :, ["close", "prediction"]] *= 1.5
    pd.testing.assert_series_equal(_skill(later).iloc[: 9 * 288], whole.iloc[: 9 * 288])


def test_that_a_missing_candle_leaves_out_its_own_outcomes_only() -> None:
    record = _record(9, 0.2)
    holed = record.drop(index=range(1000, 1010))
    whole, skill = _skill(record), _skill(holed)
    assert skill.iloc[-1] == pytest.approx(whole.iloc[-1], rel=0.1)
    assert skill.iloc[-1] != whole.iloc[-1]


def test_that_untrusted_predictions_and_zeros_are_no_evidence() -> None:
    record = _record(9, 0.2)
    assert _skill(record.assign(prediction=np.nan)).isna().all()
    assert _skill(record.assign(prediction=0.0)).isna().all()


@pytest.mark.parametrize(("skill", "enters"), [(2.0, 1), (0.4, 0), (-3.0, 0), (np.nan, 1)])
def test_that_predictions_that_failed_are_not_followed(skill: float, enters: int) -> None:
    market = pd.DataFrame(
        {
            "am_regime": [2],
            "am_turbulent": [0],
            "am_level": [0],
            "am_trend": [0.5],
            "am_deviation_z": [0.0],
            "am_breakout": [0.0],
            "am_funding_bps": [0.0],
            "am_clock": [0.0],
            "am_after_event": [np.nan],
            "am_prediction": [0.003],
            "am_trusted": [True],
            "am_skill": [skill],
        }
    )
    assert choose_modes(market, ModeSettings(), 30)["am_direction"].iloc[0] == enters
    off = ModeSettings(min_skill_t=None)
    assert choose_modes(market, off, 30)["am_direction"].iloc[0] == 1
