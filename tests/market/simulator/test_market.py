"""The simulated market hangs together and looks like one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import ConfigError, DataError
from agent_market.market.candles import aggregate
from agent_market.market.simulator import (
    Market,
    PairMarket,
    candles_of,
    signal_of,
    simulate,
    trades_of,
)
from agent_market.market.simulator.minutes import imbalance_of
from agent_market.market.simulator.process import FLOW_AVERAGE_DECAY, FLOW_SHARE_GAIN
from agent_market.settings import SimulatorSettings

BTC, DOGE, NEW = "BTC/USDT:USDT", "DOGE/USDT:USDT", "NEW/USDT:USDT"
START = datetime(2025, 1, 1, tzinfo=UTC)


def same_bars(first: PairMarket, second: PairMarket, n_minutes: int) -> bool:
    names = ["open", "high", "low", "close", "buy_lots", "sell_lots", "n_trades"]
    bars = zip(
        (getattr(first.bars, name)[:n_minutes] for name in names),
        (getattr(second.bars, name)[:n_minutes] for name in names),
        strict=True,
    )
    return all(np.array_equal(left, right) for left, right in bars)


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "8h", "1d"])
def test_that_longer_candles_are_the_aggregate_of_the_minutes(
    small_market: Market, timeframe: str
) -> None:
    for pair in small_market.pairs.values():
        expected = aggregate(candles_of(pair, "1m"), timeframe)
        made = candles_of(pair, timeframe)
        prices = ["date", "open", "high", "low", "close"]
        pd.testing.assert_frame_equal(made[prices], expected[prices], check_exact=True)
        np.testing.assert_allclose(made["volume"], expected["volume"], rtol=1e-12)


@pytest.mark.parametrize("pair", [BTC, DOGE, NEW])
def test_that_the_trades_of_any_span_aggregate_to_the_stored_candles(
    small_market: Market, pair: str
) -> None:
    start, stop = START + timedelta(days=3, hours=7), START + timedelta(days=4, hours=2)
    trades = trades_of(small_market.pairs[pair], start, stop)
    minute = trades["event_time"].dt.floor("1min")
    bars = trades.groupby(minute).agg(
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("amount", "sum"),
    )
    candles = candles_of(small_market.pairs[pair], "1m").set_index("date").loc[bars.index]
    prices = ["open", "high", "low", "close"]
    assert len(bars) == 19 * 60
    assert (bars[prices].to_numpy() == candles[prices].to_numpy()).all()
    np.testing.assert_allclose(bars["volume"], candles["volume"], rtol=1e-12)


def test_that_the_trades_sum_to_the_taker_volume_of_each_side(small_market: Market) -> None:
    pair = small_market.pairs[BTC]
    trades = trades_of(pair, START, START + timedelta(days=1))
    lots = np.rint(trades["amount"] * 10**pair.profile.lot_decimals).astype(int)
    assert (lots > 0).all()
    assert lots[trades["side"] == "buy"].sum() == pair.bars.buy_lots[:1440].sum()
    assert lots[trades["side"] == "sell"].sum() == pair.bars.sell_lots[:1440].sum()


def test_that_trades_ascend_in_time_and_id_across_spans(small_market: Market) -> None:
    pair, noon = small_market.pairs[DOGE], START + timedelta(hours=12)
    first, second = trades_of(pair, START, noon), trades_of(pair, noon, noon + timedelta(hours=1))
    whole = trades_of(pair, START, noon + timedelta(hours=1))
    joined = pd.concat([first, second], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole)
    assert whole["id"].tolist() == list(range(len(whole)))
    assert whole["event_time"].is_monotonic_increasing
    assert (whole["available_at"] > whole["event_time"]).all()


def test_that_trades_outside_the_market_are_an_error(small_market: Market) -> None:
    with pytest.raises(DataError, match="not a span inside the market"):
        trades_of(small_market.pairs[BTC], START, START + timedelta(days=10))


def test_that_the_bars_are_consistent(small_market: Market) -> None:
    for pair in small_market.pairs.values():
        bars = pair.bars
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.low > 0).all()
        assert (bars.open[1:] == bars.close[:-1]).all()
        assert (np.minimum(bars.buy_lots, bars.sell_lots) >= bars.n_trades).all()


def test_that_another_pair_changes_nothing_of_the_others(small_market: Market) -> None:
    settings = small_market.blueprint.settings
    alone = simulate(settings.model_copy(update={"pairs": (DOGE,)}))
    assert same_bars(alone.pairs[DOGE], small_market.pairs[DOGE], len(alone.pairs[DOGE]))


def test_that_a_longer_market_begins_with_the_shorter_one(small_market: Market) -> None:
    longer = simulate(small_market.blueprint.settings.model_copy(update={"days": 12}))
    for name, pair in small_market.pairs.items():
        assert same_bars(pair, longer.pairs[name], len(pair))


def test_that_another_seed_gives_another_market(small_market: Market) -> None:
    other = simulate(small_market.blueprint.settings.model_copy(update={"seed": 12}))
    assert not same_bars(other.pairs[BTC], small_market.pairs[BTC], 1440)


def test_that_no_alpha_leaves_volume_flow_and_headlines_alike(small_market: Market) -> None:
    settings = small_market.blueprint.settings.model_copy(update={"no_alpha": True})
    without = simulate(settings).pairs[BTC]
    planted = small_market.pairs[BTC]
    assert np.array_equal(without.bars.buy_lots, planted.bars.buy_lots)
    assert np.array_equal(without.signals.news, planted.signals.news)
    assert without.headlines.text == planted.headlines.text
    assert not np.array_equal(without.bars.close, planted.bars.close)


def test_that_the_order_flow_signal_is_the_running_average_of_the_taker_imbalance(
    small_market: Market,
) -> None:
    # What a user can compute from buy and sell volume is the signal itself, up to rounding.
    pair = small_market.pairs[BTC]
    bars, truth = pair.bars, pair.signals.order_flow
    share = bars.buy_lots / (bars.buy_lots + bars.sell_lots)
    imbalance = np.arctanh(2 * share - 1) / FLOW_SHARE_GAIN
    average = pd.Series(imbalance).ewm(alpha=1 - FLOW_AVERAGE_DECAY, adjust=False).mean()
    assert np.corrcoef(average[500:], truth[500:])[0, 1] > 0.999
    assert np.std(imbalance_of(truth)) == pytest.approx(1, abs=0.03)


def test_that_the_five_minute_flow_shows_most_of_the_order_flow_signal(half_year: Market) -> None:
    pair = half_year.pairs["LTC/USDT:USDT"]
    buy = pair.bars.buy_lots.reshape(-1, 5).sum(axis=1)
    sell = pair.bars.sell_lots.reshape(-1, 5).sum(axis=1)
    seen = pd.Series((buy - sell) / (buy + sell)).ewm(halflife=3).mean()
    assert np.corrcoef(seen, signal_of(pair, "order_flow"))[0, 1] > 0.85


def test_that_an_unknown_signal_is_an_error(small_market: Market) -> None:
    with pytest.raises(DataError, match="order_flow, regime, news"):
        signal_of(small_market.pairs[BTC], "astrology")


@pytest.mark.parametrize("pairs", [("BTCUSDT",), ("BTC/USDT",), (BTC, BTC)])
def test_that_malformed_and_repeated_pairs_are_named(pairs: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"simulator\.pairs: .*BTC"):
        simulate(SimulatorSettings(pairs=pairs, days=1))


def test_that_volatility_tails_and_clustering_are_those_of_crypto(half_year: Market) -> None:
    for name, pair in half_year.pairs.items():
        hourly = np.log(candles_of(pair, "1h")["close"]).diff().std() * np.sqrt(8760)
        assert 0.4 < hourly < 0.6 if name == "BTC/USDT:USDT" else 0.6 < hourly < 1.15, name
        returns = np.log(candles_of(pair, "5m")["close"]).diff().dropna()
        year = returns.std() * np.sqrt(105_120)
        assert year == pytest.approx(pair.profile.annual_volatility, rel=0.15), name
        size = returns.abs()
        assert 2 < returns.kurt() < 40, name
        assert size.autocorr(1) > 0.15, name
        assert size.autocorr(12) > 0.10, name
        assert size.autocorr(288) > 0.02, name
        assert abs(returns.autocorr(1)) < 0.12, name


def test_that_pairs_move_together_but_not_as_one(half_year: Market) -> None:
    closes = {name: candles_of(pair, "1h")["close"] for name, pair in half_year.pairs.items()}
    correlation = np.log(pd.DataFrame(closes)).diff().corr().to_numpy()
    others = correlation[~np.eye(len(correlation), dtype=bool)]
    assert 0.3 < others.min() < others.max() < 0.9


def test_that_simulated_candles_resemble_real_ones(real_data, half_year: Market) -> None:
    path = real_data / "futures_1m_2025" / "futures" / "LTC_USDT_USDT-1m-futures.feather"
    real = pd.read_feather(path)
    made = candles_of(half_year.pairs["LTC/USDT:USDT"], "1m")
    figures = [shape_of(frame) for frame in (real, made)]
    for name in figures[0]:
        assert 0.5 < figures[1][name] / figures[0][name] < 2.0, (name, figures)


def shape_of(candles: pd.DataFrame) -> dict[str, float]:
    returns = np.log(candles["close"]).diff().dropna()
    return {
        "volatility": returns.std(),
        "clustering": returns.abs().autocorr(5),
        "range_to_move": np.log(candles["high"] / candles["low"]).mean() / returns.abs().mean(),
        "volume_skew": candles["volume"].mean() / candles["volume"].median(),
    }
