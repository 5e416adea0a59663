import numpy as np
import pandas as pd
import pytest

from agent_market.evaluation import read_backtest_result
from agent_market.evaluation.equity import buy_and_hold, fees_paid, mark_to_market, read_closes

START = pd.Timestamp("2024-01-10", tz="UTC")
PAIR = "BTC/USDT:USDT"


def _result(tmp_path, make_export, trades, candles=5):
    end = START + pd.Timedelta(minutes=5 * (candles - 1))
    stats = {
        "trades": trades,
        "total_trades": len(trades),
        "pairlist": [PAIR],
        "starting_balance": 1000,
        "timeframe": "5m",
        "trading_mode": "futures",
        "backtest_start_ts": int(START.timestamp() * 1000),
        "backtest_end_ts": int(end.timestamp() * 1000),
    }
    return read_backtest_result(make_export(tmp_path, {"S": stats}))


def _closes(values):
    return pd.DataFrame({PAIR: values}, pd.date_range(START, periods=len(values), freq="5min"))


def _at(candle):
    return START + pd.Timedelta(minutes=5 * candle)


def test_that_an_open_position_is_valued_at_every_close(tmp_path, make_export, make_trade):
    held = make_trade(PAIR, _at(1), _at(3), 100.0, 104.0, amount=2.0, funding_fees=-0.5)
    account = mark_to_market(
        _result(tmp_path, make_export, [held]), _closes([100.0, 90.0, 110.0, 105.0, 50.0])
    )
    entry_fee, exit_fee = 0.1, 0.104
    final = 1000 + 8 - entry_fee - exit_fee - 0.5
    expected = [1000, 1000, 980 - entry_fee, 1020 - entry_fee, final, final]
    np.testing.assert_allclose(account["equity"], expected)
    np.testing.assert_allclose(account["gross"], [0, 0, 180, 220, 0, 0])
    # Known at the close of each candle; the first row is the balance at the start.
    assert list(account.index[:2]) == [START, START + pd.Timedelta(minutes=5)]


def test_that_a_short_position_gains_when_the_price_falls(tmp_path, make_export, make_trade):
    short = make_trade(PAIR, _at(0), _at(2), 100.0, 80.0, amount=1.0, is_short=True)
    account = mark_to_market(
        _result(tmp_path, make_export, [short]), _closes([100.0, 90.0, 80.0, 80.0, 80.0])
    )
    np.testing.assert_allclose(
        account["equity"].iloc[1:4], [1000 - 0.05, 1010 - 0.05, 1020 - 0.05 - 0.04]
    )


def test_that_a_partial_exit_leaves_the_rest_open(tmp_path, make_export, make_trade):
    held = make_trade(PAIR, _at(0), _at(3), 100.0, 120.0, amount=2.0)
    first, last = held["orders"]
    half = last | {"amount": 1.0, "order_filled_timestamp": int(_at(1).timestamp() * 1000)}
    held["orders"] = [first, half | {"safe_price": 110.0}, last | {"amount": 1.0}]
    account = mark_to_market(
        _result(tmp_path, make_export, [held]), _closes([100.0, 110.0, 50.0, 120.0, 1.0])
    )
    np.testing.assert_allclose(account["gross"], [0, 200, 110, 50, 0, 0])
    assert account["equity"].iloc[-1] == pytest.approx(1000 + 10 + 20 - 0.0005 * (200 + 110 + 120))


def test_that_the_curve_ends_at_the_balance_after_all_profits(make_backtest):
    artifacts = make_backtest()
    result = read_backtest_result(artifacts.result_path)
    account = mark_to_market(result, read_closes(result, artifacts.datadir))
    expected = 1000 + result.trades["profit_abs"].sum()
    assert len(result.trades) == 18
    assert account["equity"].iloc[-1] == pytest.approx(expected)
    assert account["gross"].iloc[-1] == 0


def test_that_the_curve_ends_at_freqtrades_own_final_balance(freqtrade_export):
    result = read_backtest_result(freqtrade_export.result_path)
    account = mark_to_market(result, read_closes(result, freqtrade_export.datadir))
    assert len(result.trades) == 352
    assert account["equity"].iloc[-1] == pytest.approx(result.stats["final_balance"], abs=1e-6)


def test_that_buy_and_hold_is_the_mean_growth_of_the_pairs():
    index = pd.date_range(START, periods=3, freq="5min")
    closes = pd.DataFrame({"A": [1.0, 2.0, 3.0], "B": [10.0, 10.0, 5.0]}, index)
    value = buy_and_hold(closes, 1000.0, "5m")
    np.testing.assert_allclose(value, [1000, 1500, 1750])
    assert value.index[0] == START + pd.Timedelta(minutes=5)


def test_that_fees_are_summed_over_every_order(tmp_path, make_export, make_trade):
    trades = [make_trade(PAIR, _at(0), _at(2), 100.0, 80.0, amount=3.0)]
    result = _result(tmp_path, make_export, trades)
    assert fees_paid(result.trades) == pytest.approx(0.0005 * 3 * 180)
