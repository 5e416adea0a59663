"""Biases made of stored predictions and of a policy's actions."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.decisions.advice import History, Reading, record_advice
from agent_market.decisions.bias import Bias, bias_at, bias_clamp
from agent_market.decisions.policy_bias import (
    biases_of,
    newest_of,
    read_actions,
    read_predictions,
    view_of_actions,
    view_of_predictions,
)
from agent_market.errors import DataError
from agent_market.settings import BiasSettings
from agent_market.store import AppendLog
from tests.decisions.advice_samples import OTHER, PAIR, START

BIAS = BiasSettings()
LABEL = "&-forward_return"


def predictions_of(*values: float, trusted: bool = True) -> pd.DataFrame:
    dates = pd.date_range(START, periods=len(values), freq="5min")
    return pd.DataFrame({"date": dates, "pair": PAIR, "prediction": values, "trusted": trusted})


def test_that_a_prediction_becomes_direction_confidence_stake_and_leverage() -> None:
    view = view_of_predictions(predictions_of(0.0015, -0.003, 0.001), BIAS)
    assert list(view["direction"]) == [1, -1, 0]
    assert list(view["confidence"]) == pytest.approx([0.5, 1, 0])
    assert list(view["position_multiplier"]) == pytest.approx([1, 1.5, 0.5])
    assert list(view["leverage"]) == pytest.approx([2, 3, 1])


def test_that_a_prediction_the_model_does_not_stand_behind_has_no_direction() -> None:
    view = view_of_predictions(predictions_of(0.01, trusted=False), BIAS)
    assert list(view["direction"]) == [0]


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_that_any_prediction_whatever_gives_a_bias_within_the_bounds(value: float) -> None:
    bias = biases_of(view_of_predictions(predictions_of(value), BIAS), "test", "5m", BIAS)[0]
    assert bias_clamp(BIAS)(bias) == Reading(bias)


def stored(folder: Path, pair: str, *records: dict[str, Any]) -> None:
    log, _ = AppendLog.open(folder / f"{pair[:3]}.jsonl")
    log.extend({"pair": pair, "do_predict": 1, **record} for record in records)


def test_that_stored_predictions_are_read_while_the_bot_writes_the_next(tmp_path: Path) -> None:
    first, second = START.isoformat(), (START + timedelta(minutes=5)).isoformat()
    stored(tmp_path, PAIR, {LABEL: 0.1, "date_pred": first}, {LABEL: 0.2, "date_pred": first})
    stored(tmp_path, OTHER, {LABEL: 0.3, "date_pred": second, "abstain": 1})
    log = tmp_path / "BTC.jsonl"
    torn = log.read_bytes() + b'{"crc32":"00'
    log.write_bytes(torn)
    read = read_predictions(tmp_path, LABEL)
    assert read[["pair", "prediction", "trusted"]].to_numpy().tolist() == [
        [PAIR, 0.2, True],  # the later record of a candle
        [OTHER, 0.3, False],
    ]
    assert log.read_bytes() == torn
    with pytest.raises(DataError, match="it holds &-forward_return"):
        read_predictions(tmp_path, "&-other")
    with pytest.raises(DataError, match="holds no predictions"):
        read_predictions(tmp_path / "none", LABEL)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_that_the_five_actions_become_the_position_they_leave(tmp_path: Path, suffix: str) -> None:
    actions = [0, 1, 0, 2, 3, 0, 4]
    frame = pd.DataFrame(
        {
            "date": pd.date_range(START, periods=len(actions), freq="5min"),
            "pair": PAIR,
            "action": actions,
        }
    )
    path = tmp_path / f"actions{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    view = view_of_actions(read_actions(path))
    assert list(view["direction"]) == [0, 1, 1, 0, -1, -1, 0]
    assert list(view["confidence"]) == [0, 1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("column", "value"),
    [("position", 1.5), ("position", np.nan), ("action", 7), ("action", np.nan)],
)
def test_that_an_action_out_of_range_names_its_row(
    tmp_path: Path, column: str, value: float
) -> None:
    path = tmp_path / "actions.csv"
    pd.DataFrame({"date": [START], "pair": [PAIR], column: [value]}).to_csv(path, index=False)
    with pytest.raises(DataError, match="BTC/USDT:USDT at 2025-03-01"):
        read_actions(path)


def test_that_a_file_without_actions_says_what_it_wants(tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text("date,close\n2025-03-01,1\n")
    with pytest.raises(DataError, match="wants date, pair, and position or action"):
        read_actions(path)


def test_that_a_bias_is_known_only_once_its_candle_has_closed(tmp_path: Path) -> None:
    view = view_of_predictions(predictions_of(0.003, -0.003, 0.003), BIAS)
    record_advice(
        tmp_path / "h.jsonl", [(b.created_at, b) for b in biases_of(view, "m", "5m", BIAS)]
    )
    history = History.of_file(tmp_path / "h.jsonl", Bias, bias_clamp(BIAS))
    dates = pd.Series(pd.date_range(START - timedelta(minutes=5), periods=8, freq="5min"))
    said = bias_at(history, PAIR, dates, "5m")["am_bias"]
    # the row of the candle that was predicted, not the one before; 15 minutes after the last: over
    np.testing.assert_array_equal(said, [np.nan, 1, -1, 1, 1, 1, np.nan, np.nan])


@pytest.mark.parametrize(("minutes", "refused"), [(4, True), (5, False), (20, False), (21, True)])
def test_that_no_bias_is_made_of_old_or_unfinished_candles(minutes: int, refused: bool) -> None:
    view = view_of_predictions(predictions_of(0.003), BIAS)
    now = START + timedelta(minutes=minutes)
    if refused:
        with pytest.raises(DataError, match=r"bias\.lifetime_minutes"):
            newest_of(view, "m", "5m", BIAS, now)
    else:
        assert newest_of(view, "m", "5m", BIAS, now).created_at == now
