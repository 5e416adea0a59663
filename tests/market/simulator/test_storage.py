"""A written market: what stands where, when it is made again, and what is never overwritten."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import ConfigError
from agent_market.market.candles import aggregate, list_candles, read_candles
from agent_market.market.sidedata import EVERY_PAIR, join_as_of, read_side
from agent_market.market.simulator import (
    HORIZONS,
    SIGNALS,
    Market,
    find_drifts,
    information_coefficient,
    signal_of,
    storage,
    write_market,
)
from agent_market.settings import SimulatorSettings
from agent_market.store import read_json, write_json

BTC, DOGE = "BTC/USDT:USDT", "DOGE/USDT:USDT"
TINY = SimulatorSettings(seed=5, pairs=(BTC, DOGE), days=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    write_market(TINY, tmp_path / "market")
    return tmp_path / "market"


def test_that_equal_settings_give_byte_identical_files(tiny: Path, tmp_path: Path) -> None:
    write_market(TINY, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tiny)


def test_that_the_manifest_lists_every_file_and_the_writer_writes_all_it_announces(
    tiny: Path,
) -> None:
    manifest = read_json(tiny / "market.json")
    assert set(manifest["files"]) == set(contents(tiny)) - {"market.json"}
    announced = {p.relative_to(tiny).as_posix() for p in storage.market_files(TINY, tiny)}
    assert announced == set(manifest["files"])


def test_that_the_manifest_states_settings_and_true_coefficients(tiny: Path) -> None:
    manifest = read_json(tiny / "market.json")
    assert (manifest["schema"], manifest["kind"]) == (1, "simulated")
    assert manifest["settings"] == TINY.model_dump(mode="json")
    assert [entry["signal"] for entry in manifest["planted"]] == list(SIGNALS)
    drifts = find_drifts(TINY)
    for entry in manifest["planted"]:
        assert list(entry["information_coefficient"]) == [str(h) for h in HORIZONS]
        for horizon, figure in entry["information_coefficient"].items():
            truth = information_coefficient(entry["signal"], int(horizon), drifts)
            assert figure == pytest.approx(truth, abs=1e-6)
    assert all(isinstance(line, str) for line in manifest["statement"])


def test_that_a_market_that_is_there_is_not_written_again(tiny: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file()}
    assert write_market(TINY, tiny) == read_json(tiny / "market.json")
    assert {p: p.stat().st_mtime_ns for p in tiny.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_that_a_damaged_market_is_made_again(tiny: Path, harm: str) -> None:
    whole, victim = contents(tiny), tiny / "futures" / "BTC_USDT_USDT-5m-futures.feather"
    victim.write_bytes(b"noise") if harm == "change" else victim.unlink()
    write_market(TINY, tiny)
    assert contents(tiny) == whole


def test_that_other_settings_replace_the_market_and_leave_nothing_of_it(tiny: Path) -> None:
    write_market(TINY.model_copy(update={"pairs": (DOGE,), "detail_days": 0}), tiny)
    assert not [name for name in contents(tiny) if "BTC" in name or "trades" in name]


def test_that_other_code_makes_the_market_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(storage, "identity", lambda settings: "of other code")
    original = storage.write_candles
    monkeypatch.setattr(storage, "write_candles", lambda *a: written.append(a[0]) or original(*a))
    write_market(TINY, tiny)
    assert written


def test_that_real_candles_are_never_overwritten(tmp_path: Path, tiny: Path) -> None:
    real = tmp_path / "real"
    shutil.copytree(tiny / "futures", real / "futures")
    before = contents(real)
    with pytest.raises(ConfigError, match="did not make"):
        write_market(TINY, real)
    assert contents(real) == before


def test_that_real_candles_beside_a_market_are_never_overwritten(tiny: Path) -> None:
    name = "BTC_USDT_USDT-15m-futures.feather"
    (tiny / "futures" / name).write_bytes(b"downloaded")
    with pytest.raises(ConfigError, match=name):
        write_market(TINY.model_copy(update={"timeframes": ("5m", "15m")}), tiny)
    write_market(TINY.model_copy(update={"seed": 6}), tiny)
    assert (tiny / "futures" / name).read_bytes() == b"downloaded"


def test_that_a_foreign_market_json_does_not_make_candles_ours(tiny: Path) -> None:
    write_json(tiny / "market.json", {"kind": "recorded"})
    with pytest.raises(ConfigError, match="did not make"):
        write_market(TINY, tiny)


def test_that_a_run_killed_before_the_manifest_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, left = tmp_path / "killed", [3]

    def die(*arguments: object) -> Path:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    original = storage.write_side
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_side", die)
        with pytest.raises(KeyboardInterrupt):
            write_market(TINY, folder)
    assert list(list_candles(folder)) and not (folder / "market.json").exists()
    write_market(TINY, folder)
    write_market(TINY, tmp_path / "whole")
    assert contents(folder) == contents(tmp_path / "whole")


def test_that_stored_five_minute_candles_are_the_aggregate_of_the_stored_minutes(
    small_datadir: Path,
) -> None:
    minutes = read_candles(small_datadir, BTC, "1m", "futures")
    stored = read_candles(small_datadir, BTC, "5m", "futures")
    pd.testing.assert_frame_equal(stored, aggregate(minutes, "5m"), rtol=1e-12, atol=0)


def test_that_the_files_have_the_layout_of_real_ones(real_data, small_datadir: Path) -> None:
    for suffix in ("5m-futures", "1h-futures", "1h-funding_rate", "1h-mark"):
        name = f"BTC_USDT_USDT-{suffix}.feather"
        real = pd.read_feather(real_data / "futures_2023_24" / "futures" / name)
        made = pd.read_feather(small_datadir / "futures" / name)
        assert made.dtypes.to_dict() == real.dtypes.to_dict()
        assert list(made.columns) == list(real.columns)
        spacing = {frame["date"].diff().mode()[0] for frame in (real, made)}
        assert len(spacing) == 1, name
    assert not made["volume"].any()


def test_that_funding_stands_in_the_open_column_and_is_of_usual_size(small_datadir: Path) -> None:
    funding = read_candles(small_datadir, BTC, "1h", "funding_rate")
    assert set(funding["date"].dt.hour) == {0, 8, 16}
    assert funding["open"].abs().max() < 0.003
    assert funding["open"].nunique() > 10
    assert not funding[["high", "low", "close", "volume"]].to_numpy().any()


def test_that_the_mark_price_follows_the_candles(small_datadir: Path) -> None:
    mark = read_candles(small_datadir, BTC, "1h", "mark")
    candles = aggregate(read_candles(small_datadir, BTC, "1h", "futures"), "8h")
    assert (mark["close"] == candles["close"]).all()
    assert (mark["high"] <= candles["high"]).all() and (mark["low"] >= candles["low"]).all()
    assert (mark["high"] >= mark[["open", "close"]].max(axis=1)).all()


def test_that_side_data_is_available_no_earlier_than_it_happens(small_datadir: Path) -> None:
    for path in sorted(small_datadir.glob("side/*/*.parquet")):
        frame = pd.read_parquet(path)
        assert len(frame), path
        assert (frame["available_at"] >= frame["event_time"]).all(), path
        assert frame["available_at"].is_monotonic_increasing, path
        assert not frame.isna().any().any(), path


def test_that_the_stored_order_flow_is_that_of_the_candles(small_datadir: Path) -> None:
    candles = read_candles(small_datadir, DOGE, "5m", "futures")
    joined = join_as_of(candles, read_side(small_datadir, "order_flow", DOGE), "5m")
    np.testing.assert_allclose(joined["buy_volume"] + joined["sell_volume"], joined["volume"])


def test_that_the_stored_truth_is_the_signal_at_each_close(
    small_datadir: Path, small_market: Market
) -> None:
    candles = read_candles(small_datadir, BTC, "5m", "futures")
    joined = join_as_of(candles, read_side(small_datadir, "planted", BTC), "5m")
    for signal in SIGNALS:
        np.testing.assert_allclose(
            joined[signal], signal_of(small_market.pairs[BTC], signal), rtol=1e-6
        )


def test_that_the_stored_trades_are_those_of_the_last_days_candles(small_datadir: Path) -> None:
    trades = read_side(small_datadir, "trades", BTC)
    candles = read_candles(small_datadir, BTC, "1h", "futures").tail(48).set_index("date")
    hour = trades.groupby(trades["event_time"].dt.floor("1h"))
    assert (hour["price"].max().to_numpy() == candles["high"].to_numpy()).all()
    assert (hour["price"].last().to_numpy() == candles["close"].to_numpy()).all()
    np.testing.assert_allclose(hour["amount"].sum(), candles["volume"], rtol=1e-12)


def test_that_books_are_ordered_and_straddle_the_last_price(small_datadir: Path) -> None:
    book = read_side(small_datadir, "book", BTC)
    minutes = read_candles(small_datadir, BTC, "1m", "futures").tail(2 * 1440)
    close = minutes["close"].to_numpy()
    assert len(book) == len(close)
    assert (book["bid_price"] < book["ask_price"]).all()
    assert (book["bid_price"] <= close).all() and (book["ask_price"] >= close).all()
    bids, asks = np.stack(book["bid_prices"]), np.stack(book["ask_prices"])
    assert (np.diff(bids) < 0).all() and (np.diff(asks) > 0).all()
    assert (bids[:, 0] == book["bid_price"]).all() and (asks[:, 0] == book["ask_price"]).all()
    assert (np.stack(book["bid_amounts"]) > 0).all()


def test_that_forced_orders_lie_inside_their_minute_and_follow_its_move(
    small_datadir: Path,
) -> None:
    forced = read_side(small_datadir, "liquidations", DOGE)
    minutes = read_candles(small_datadir, DOGE, "1m", "futures").set_index("date")
    at = minutes.loc[forced["event_time"].dt.floor("1min")]
    price = forced["price"].to_numpy()
    assert (price >= at["low"].to_numpy()).all() and (price <= at["high"].to_numpy()).all()
    assert ((forced["side"] == "sell").to_numpy() == (at["close"] < at["open"]).to_numpy()).all()
    assert forced["amount"].sum() < 0.05 * minutes["volume"].sum()


def test_that_headlines_name_their_symbols_and_carry_their_sentiment(small_datadir: Path) -> None:
    news = read_side(small_datadir, "news", EVERY_PAIR)
    delay = (news["available_at"] - news["event_time"]).dt.total_seconds()
    assert 15 < delay.median() < 120 and delay.max() <= 900
    assert news["sentiment_truth"].abs().max() <= 1
    own = news[news["symbols"].map(len) == 1]
    named = [
        symbols[0] in text for symbols, text in zip(own["symbols"], own["headline"], strict=True)
    ]
    assert named and all(named)
    good = news["headline"].str.contains("soars|Landmark|wins|huge")
    assert (news.loc[good, "sentiment_truth"] >= 0.7).all()


def test_that_freqtrade_lists_the_market(small_datadir: Path, tmp_path: Path) -> None:
    command = [
        *[sys.executable, "-m", "freqtrade", "list-data", "--userdir", str(tmp_path)],
        *["--datadir", str(small_datadir), "--exchange", "binance"],
        *["--trading-mode", "futures", "--show-timerange", "--no-color"],
    ]
    # Away from the project's own config.json, which Freqtrade would read; wide, so nothing wraps.
    wide = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=wide, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = [re.findall(r"[^\s│]+", line) for line in done.stdout.splitlines() if "/USDT" in line]
    by_kind = {(row[0], row[1], row[2]): (row[3], row[4], int(row[7])) for row in rows}
    assert by_kind[BTC, "5m", "futures"] == ("2025-01-01", "00:00:00", 9 * 288)
    assert by_kind[BTC, "1h", "funding_rate"][2] == by_kind[BTC, "1h", "mark"][2] == 9 * 3
    assert len(by_kind) == 3 * 5


def test_that_freqtrades_data_handler_reads_the_candles(small_datadir: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from freqtrade.data.history import load_pair_history\n"
        "from freqtrade.enums import CandleType\n"
        "for kind, frame in (('futures', '5m'), ('mark', '1h'), ('funding_rate', '1h')):\n"
        "    data = load_pair_history('BTC/USDT:USDT', frame, Path(sys.argv[1]),\n"
        "        candle_type=CandleType.from_string(kind), fill_up_missing=False,\n"
        "        drop_incomplete=False)\n"
        "    print(kind, len(data), float(data['open'].iloc[-1]))\n"
    )
    command = [sys.executable, "-c", script, str(small_datadir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = []
    for kind, timeframe in (("futures", "5m"), ("mark", "1h"), ("funding_rate", "1h")):
        frame = read_candles(small_datadir, BTC, timeframe, kind)
        expected.append(f"{kind} {len(frame)} {float(frame['open'].iloc[-1])}")
    assert done.stdout.splitlines() == expected
