"""Bias and event mode as files: garbage is ignored with a reason, and the clock ends them."""

import json
import logging
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent_market.decisions.advice import (
    History,
    Reading,
    history_path,
    judge,
    publish,
    read_advice,
    record_advice,
)
from agent_market.decisions.bias import COLUMNS, Bias, bias_at, bias_clamp
from agent_market.decisions.event_mode import EventMode, event_clamp
from agent_market.decisions.strategy_advice import StrategyAdvice, bias_path, event_mode_path
from agent_market.errors import DataError
from agent_market.settings import AgentMarketSettings, BiasSettings, EventModeSettings
from agent_market.store import AppendLog
from tests.decisions.advice_samples import OTHER, PAIR, START, bias_of, event_of

BIAS = BiasSettings()
EVENT = EventModeSettings()
CANDLE = timedelta(minutes=5)
DATES = pd.Series(pd.date_range(START, periods=12, freq="5min"))


def read_bias(content: bytes) -> Reading[Bias]:
    return read_advice(Bias, content, bias_clamp(BIAS))


def read_event(content: bytes) -> Reading[EventMode]:
    return read_advice(EventMode, content, event_clamp(EVENT))


def settings_in(folder: Path, **sections: Any) -> AgentMarketSettings:
    return AgentMarketSettings.model_validate({"state_dir": folder, **sections})


def test_that_a_bias_survives_its_file_to_the_last_digit() -> None:
    bias = bias_of(confidence=0.1 + 0.2, position_multiplier=1.25, leverage=2)
    assert read_bias(bias.model_dump_json().encode()) == Reading(bias)


@pytest.mark.parametrize("kind", ["bias", "event"])
def test_that_a_file_cut_at_any_byte_is_ignored_with_a_reason(kind: str) -> None:
    advice, read = (bias_of(), read_bias) if kind == "bias" else (event_of(), read_event)
    content = advice.model_dump_json(indent=2).encode()
    assert read(content).advice is not None
    for length in range(len(content)):
        reading = read(content[:length])
        assert reading.advice is None
        assert reading.reasons[0].startswith("malformed: ")


@given(content=st.binary(max_size=200))
def test_that_no_bytes_whatever_raise(content: bytes) -> None:
    for reading in (read_bias(content), read_event(content)):
        assert reading.advice is None and reading.reasons


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_that_a_flipped_bit_leaves_nothing_beyond_the_bounds(position: int, bit: int) -> None:
    content = bytearray(bias_of(position_multiplier=1.25).model_dump_json(indent=2).encode())
    content[position % len(content)] ^= 1 << bit
    reading = read_bias(bytes(content))
    if reading.advice is None:
        assert reading.reasons
        return
    for each in reading.advice.pairs.values():
        assert each.direction in (-1, 0, 1) and 0 <= each.confidence <= 1
        assert 0 <= each.position_multiplier <= BIAS.max_position_multiplier
        assert 1 <= each.leverage <= BIAS.max_leverage


numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e9, -1e9, 1e308, -0.0, 5e-324, 0.5, 1.0, 1.5, 2.0]),
)
pair_names = st.sampled_from([PAIR, OTHER, "", "BTC", "NO/SUCH:PAIR", "\x00", "x" * 500])
pair_values = st.fixed_dictionaries(
    {"direction": st.sampled_from([-1, 0, 1, 2, 0.5, "1", None, True]), "confidence": numbers},
    optional={
        "position_multiplier": numbers,
        "leverage": numbers,
        "take_profit_multiplier": numbers,
        "stop_multiplier": numbers,
        "stake": numbers,
    },
)


@given(pairs=st.dictionaries(pair_names, pair_values, max_size=4))
def test_that_no_values_of_a_bias_get_beyond_the_bounds(pairs: dict[str, Any]) -> None:
    content = json.loads(bias_of().model_dump_json()) | {"pairs": pairs}
    reading = read_bias(json.dumps(content).encode())  # NaN and Infinity as Python writes them
    kept = reading.advice.pairs if reading.advice else {}
    assert len(kept) == len(pairs) or reading.reasons
    for each in kept.values():
        assert each.direction in (-1, 0, 1) and 0 <= each.confidence <= 1
        assert 0 <= each.position_multiplier <= BIAS.max_position_multiplier
        assert 1 <= each.leverage <= BIAS.max_leverage
        for multiplier in (each.take_profit_multiplier, each.stop_multiplier):
            assert BIAS.min_exit_multiplier <= multiplier <= BIAS.max_exit_multiplier


def test_that_a_pair_out_of_clamp_is_ignored_and_the_others_stand() -> None:
    content = json.loads(bias_of().model_dump_json())
    content["pairs"][OTHER] = {"direction": 1, "confidence": 1, "position_multiplier": 1e9}
    reading = read_bias(json.dumps(content).encode())
    assert reading.advice is not None and list(reading.advice.pairs) == [PAIR]
    assert reading.reasons == (
        "bias-120000: ETH/USDT:USDT: position_multiplier is 1e+09, outside 0..1.5. Ignored.",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "malformed: version"),
        ({"id": ""}, "malformed: id"),
        ({"created_at": 1}, "malformed: created_at"),
        ({"created_at": "2025-03-01T12:00:00"}, "malformed: created_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "malformed: expires_at"),
        ({"expires_at": "2025-03-01T11:00:00Z"}, "expires_at is not after created_at"),
        ({"expires_at": "2025-03-09T12:00:00Z"}, "more than bias.max_lifetime_minutes"),
        ({"source": {"model": "m", "data_hash": "no"}}, "malformed: source.data_hash"),
        ({"note": "x"}, "malformed: note"),
    ],
)
def test_that_a_reason_names_what_is_wrong(change: dict[str, Any], reason: str) -> None:
    content = json.loads(bias_of().model_dump_json()) | change
    reading = read_bias(json.dumps(content).encode())
    assert reading.advice is None
    assert reason in reading.reasons[0]


def test_that_a_huge_or_deeply_nested_file_is_ignored() -> None:
    assert "more than 1,000,000" in read_bias(b" " * 1_000_001).reasons[0]
    assert read_bias(b"[" * 900_000).reasons


@pytest.mark.parametrize(
    ("after", "reason"),
    [(-1, "future-dated"), (0, None), (899, None), (900, "expired"), (10**7, "expired")],
)
def test_that_the_clock_decides_whether_a_bias_is_in_force(after: int, reason: str | None) -> None:
    reading = judge(Reading(bias_of()), START + timedelta(seconds=after))
    assert (reading.advice is None) == (reason is not None)
    assert reason is None or reason in reading.reasons[0]


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        ({"position_multiplier": 1e9}, "max_position_multiplier"),
        ({"leverage_multiplier": 2.01}, "max_leverage_multiplier"),
        ({"hours": 73}, "max_hours"),
    ],
)
def test_that_an_event_mode_out_of_bounds_is_ignored_whole(
    values: dict[str, Any], bound: str
) -> None:
    reading = read_event(event_of(**values).model_dump_json().encode())
    assert reading.advice is None
    assert f"event_mode.{bound}" in reading.reasons[0]


moments = st.integers(-1800, 5400).map(lambda seconds: START + timedelta(seconds=seconds))
given_biases = st.lists(
    st.builds(
        lambda published, lag, minutes, direction, confidence, position: (
            published,
            bias_of(
                published - timedelta(seconds=lag),
                minutes,
                direction=direction,
                confidence=confidence,
                position_multiplier=position,
            ),
        ),
        moments,
        st.integers(-600, 1200),
        st.sampled_from([1, 7.5, 15, 60, 3000]),
        st.sampled_from([-1, 0, 1]),
        st.floats(0, 1),
        st.sampled_from([0.0, 0.5, 1.5, 1e9]),
    ),
    max_size=12,
)


@settings(max_examples=25, phases=[Phase.generate])  # each writes and reads real files
@given(published=given_biases, pinned=st.booleans())
def test_that_the_file_read_candle_by_candle_equals_the_replayed_history(
    tmp_path_factory: pytest.TempPathFactory,
    published: list[tuple[Any, Bias]],
    pinned: bool,
) -> None:
    folder = tmp_path_factory.mktemp("live")
    before = bias_of(START - timedelta(hours=3), 200)  # until 12:20; pinned before the bot began
    section = {"pinned": json.loads(before.model_dump_json())} if pinned else {}
    live = StrategyAdvice(settings_in(folder, bias=section), "5m", live=True)
    waiting = sorted(published, key=lambda each: each[0])
    record_advice(folder / "recorded.jsonl", waiting)
    live.refresh(START - timedelta(hours=2))  # the bot was there before the first bias
    rows = []
    for date in DATES:
        now = (date + CANDLE).to_pydatetime()
        while waiting and waiting[0][0] <= now:
            publish(bias_path(settings_in(folder)), waiting[0][1], waiting[0][0])
            waiting.pop(0)
        live.refresh(now)
        frame = live.columns(PAIR, DATES[: len(rows) + 1])
        assert len(frame) == len(rows) + 1
        np.testing.assert_array_equal(frame.to_numpy()[:-1], np.array(rows).reshape(-1, 10))
        rows.append(frame.iloc[-1].to_numpy())
    past = settings_in(folder, bias={"history": folder / "recorded.jsonl", **section})
    replayed = StrategyAdvice(past, "5m", live=False).columns(PAIR, DATES)
    np.testing.assert_array_equal(replayed.to_numpy(), np.array(rows))


@pytest.mark.parametrize(
    ("written", "first"),
    [(-10, 1), (1, 2), (-4000, 1), (4000, 2)],  # before the last look, and ahead of the clock
)
def test_that_a_bias_holds_from_the_first_close_after_it_was_written(
    tmp_path: Path, written: int, first: int
) -> None:
    own = settings_in(tmp_path)
    advice = StrategyAdvice(own, "5m", live=True)
    close = START + 2 * CANDLE  # of the second candle
    advice.refresh(START + CANDLE + timedelta(seconds=3))
    publish(bias_path(own), bias_of(START, 60), START)
    moment = (close + timedelta(seconds=written)).timestamp()
    os.utime(bias_path(own), (moment, moment))
    advice.refresh(close + timedelta(seconds=3))
    said = advice.columns(PAIR, DATES)["am_bias"].notna()
    assert list(said[:4]) == [place >= first for place in range(4)]


@given(published=given_biases)
def test_that_a_row_knows_nothing_of_later_biases(published: list[tuple[Any, Bias]]) -> None:
    def columns(given: list[tuple[Any, Bias]]) -> pd.DataFrame:
        history: History[Bias] = History()
        for moment, bias in given:
            history.add(moment, bias_clamp(BIAS)(bias))
        return bias_at(history, PAIR, DATES, "5m")

    cut = START + timedelta(minutes=30)
    early = columns([each for each in published if each[0] <= cut])
    known = (DATES + CANDLE).le(cut)
    pd.testing.assert_frame_equal(columns(published)[known], early[known])


def test_that_an_expired_bias_does_not_bring_back_an_older_one_that_lasts() -> None:
    history: History[Bias] = History()
    history.add(START, Reading(bias_of(START, 60)))
    history.add(START + 2 * CANDLE, Reading(bias_of(START + 2 * CANDLE, 5)))
    said = bias_at(history, PAIR, DATES, "5m")["am_bias"].notna()
    assert list(said[:5]) == [True, True, False, False, False]


def test_that_pairs_without_a_bias_get_neutral_values() -> None:
    history: History[Bias] = History()
    history.add(START, Reading(bias_of(START, 60)))
    columns = bias_at(history, OTHER, DATES, "5m")
    assert columns.iloc[0].fillna(-9).to_dict() == pd.Series(COLUMNS).fillna(-9).to_dict()


def test_that_an_event_mode_is_over_at_its_end_although_the_file_stays(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    event = event_of(hours=0.5, position_multiplier=1.5, modes={"trend": False, "long_shot": True})
    publish(event_mode_path(own), event, START)
    advice = StrategyAdvice(own, "5m", live=True)
    for date in DATES:
        advice.refresh((date + CANDLE).to_pydatetime())
    columns = advice.columns(PAIR, DATES)
    assert list(columns["am_event"]) == [1.0] * 5 + [0.0] * 7
    assert list(columns["am_event_position"]) == [1.5] * 5 + [1.0] * 7
    switches = advice.switches(DATES, ["trend", "mean_reversion", "long_shot"])
    assert switches.iloc[4].tolist() == [-1, 0, 1]
    assert switches.iloc[5].tolist() == [0, 0, 0]
    assert event_mode_path(own).exists()


def test_that_what_is_ignored_is_logged_once_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = settings_in(tmp_path)
    advice = StrategyAdvice(own, "5m", live=True)
    caplog.set_level(logging.INFO, "agent_market.decisions")
    assert advice.refresh(START) == []
    publish(bias_path(own), bias_of(START, 12), START)
    assert "bias-120000 is in force until" in advice.refresh(START + CANDLE / 10)[0]
    assert advice.refresh(START + CANDLE) == []
    assert advice.refresh(START + 2 * CANDLE) == []
    assert "bias-120000 expired at" in advice.refresh(START + 3 * CANDLE)[0]
    assert advice.refresh(START + 4 * CANDLE) == []
    bias_path(own).write_text("{")
    assert "malformed" in advice.refresh(START + 5 * CANDLE)[0]
    bias_path(own).unlink()
    assert advice.refresh(START + 6 * CANDLE) == ["bias.json: none in force."]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING", "INFO"]


def test_that_a_file_that_cannot_be_read_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    bias_path(own).mkdir()
    advice = StrategyAdvice(own, "5m", live=True)
    assert "malformed" in advice.refresh(START)[0]
    assert advice.columns(PAIR, DATES)["am_bias"].isna().all()


def test_that_a_bias_that_is_turned_off_is_not_read(tmp_path: Path) -> None:
    own = settings_in(tmp_path, bias={"enabled": False})
    publish(bias_path(own), bias_of(START, 60), START)
    advice = StrategyAdvice(own, "5m", live=True)
    assert advice.refresh(START) == []
    assert advice.columns(PAIR, DATES)["am_bias"].isna().all()


def test_that_a_damaged_history_line_is_left_out_and_the_file_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bias.jsonl"
    record_advice(path, [(START, bias_of()), (START + CANDLE, bias_of(START + CANDLE))])
    content = path.read_bytes()
    ends = (content.index(b"\n"), len(content) - 1)  # the line feed itself may be missing
    for length in range(len(content)):
        path.write_bytes(content[:length])
        history = History.of_file(path, Bias, bias_clamp(BIAS))
        assert len(history) == sum(end <= length for end in ends)
        assert path.read_bytes() == content[:length]
    assert list(tmp_path.iterdir()) == [path]


def test_that_a_backtest_names_a_history_that_does_not_exist(tmp_path: Path) -> None:
    own = settings_in(tmp_path, bias={"history": tmp_path / "none.jsonl"})
    with pytest.raises(DataError, match="does not exist"):
        StrategyAdvice(own, "5m", live=False)


def test_that_another_log_in_the_place_of_the_history_stops_a_backtest_and_no_bot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bias.jsonl"
    log, _ = AppendLog.open(path)
    log.append({"close": 1.5})
    StrategyAdvice(settings_in(tmp_path), "5m", live=True)
    assert "is no history of advice" in caplog.text
    with pytest.raises(DataError, match="is no history of advice"):
        StrategyAdvice(settings_in(tmp_path, bias={"history": path}), "5m", live=False)


def test_that_a_history_of_a_year_is_replayed_in_seconds() -> None:
    history: History[Bias] = History()
    moments = [START + n * CANDLE for n in range(105_120)]
    reading = Reading(bias_of(START, 1e6))
    began = time.process_time()
    for moment in moments:
        history.add(moment, reading)
    said = bias_at(history, PAIR, pd.Series(pd.to_datetime(moments)), "5m")["am_bias"]
    assert said.notna().all()
    assert time.process_time() - began < 20


def test_that_a_malformed_pinned_bias_is_ignored_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = settings_in(tmp_path, bias={"pinned": {"id": "x"}})
    advice = StrategyAdvice(own, "5m", live=False)
    assert "pinned Bias: malformed" in caplog.text
    assert advice.columns(PAIR, DATES)["am_bias"].isna().all()


def test_that_publishing_records_before_it_puts_into_force(tmp_path: Path) -> None:
    path = tmp_path / "bias.json"
    publish(path, bias_of(), START)
    publish(path, bias_of(START + CANDLE), START + CANDLE)
    history = History.of_file(history_path(path), Bias, bias_clamp(BIAS))
    assert [each.advice.id for each in history.readings if each.advice] == [
        "bias-120000",
        "bias-120500",
    ]
    assert read_bias(path.read_bytes()) == history.readings[-1]
