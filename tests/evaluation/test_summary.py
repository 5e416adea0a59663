import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import DataError, StateCorrupt
from agent_market.evaluation import read_backtest_result, summarize
from agent_market.evaluation.predictions import read_windows
from agent_market.evaluation.statement import describe_market
from agent_market.store import write_json

START = pd.Timestamp("2024-01-10", tz="UTC")


def _floats(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in _floats(item)]
    return [value] if isinstance(value, float) else []


def test_that_a_summary_repeats_byte_for_byte_and_holds_no_nan(make_backtest):
    artifacts = make_backtest()
    first = json.dumps(summarize(artifacts), allow_nan=False)
    assert first == json.dumps(summarize(artifacts), allow_nan=False)
    assert all(math.isfinite(number) for number in _floats(json.loads(first)))
    assert first == json.dumps(json.loads(first), sort_keys=True)


def test_that_totals_agree_with_the_trades_and_with_every_breakdown(make_backtest):
    artifacts = make_backtest()
    summary = summarize(artifacts)
    trades = read_backtest_result(artifacts.result_path).trades
    totals = summary["totals"]
    assert totals["trades"] == 18
    assert totals["net_profit"] == pytest.approx(trades["profit_abs"].sum(), abs=1e-3)
    assert totals["net_profit_percent"] == pytest.approx(totals["net_profit"] / 10, abs=1e-3)
    assert totals["win_rate"] == pytest.approx((trades["profit_abs"] > 0).mean(), rel=1e-5)
    for key in ("by_pair", "by_mode", "by_exit_reason", "by_direction"):
        for figure in ("trades", "net_profit", "fees_paid", "funding_paid"):
            whole = sum(row[figure] for row in summary[key])
            assert whole == pytest.approx(totals[figure], abs=1e-3), (key, figure)
    assert [row["mode"] for row in summary["by_mode"]] == [
        "event_breakout",
        "mean_reversion",
        "trend",
    ]
    # 18 trades of 5 hours (61 candles each, the exit's own excluded) in 6 days, some together.
    assert 0.2 < totals["time_in_market_share"] < 18 * 5 / 144


def test_that_trades_are_split_by_mode_and_the_regime_before_their_entry(make_backtest):
    artifacts = make_backtest()
    trades = read_backtest_result(artifacts.result_path).trades

    def regime_of(candles):
        # the candle before noon's first one is the last that an entry at noon may see
        return (candles["date"].dt.hour < 12).map({True: "morning", False: "evening"})

    rows = summarize(artifacts, regime_of)["by_mode_and_regime"]
    length = pd.Timedelta(minutes=5)
    expected = (
        (trades["open_date"] - length).dt.hour.lt(12).map({True: "morning", False: "evening"})
    )
    counts = trades.groupby([trades["enter_tag"].fillna("untagged"), expected]).size()
    assert {(row["mode"], row["regime"]): row["trades"] for row in rows} == counts.to_dict()
    mean = sum(row["mean_net_bps"] * row["trades"] for row in rows) / len(trades)
    net = trades["profit_ratio"] / trades["leverage"] * 1e4
    assert mean == pytest.approx(net.mean(), rel=1e-3)
    fees = (trades["fee_open"] + trades["fee_close"]).mean() * 1e4
    before = sum(row["mean_before_fees_bps"] * row["trades"] for row in rows) / len(trades)
    assert before == pytest.approx(net.mean() + fees, rel=1e-3)


def test_that_funding_received_counts_as_a_negative_payment(make_backtest):
    artifacts = make_backtest()
    received = read_backtest_result(artifacts.result_path).trades["funding_fees"].sum()
    assert received > 0.1
    assert summarize(artifacts)["totals"]["funding_paid"] == pytest.approx(-received, abs=1e-9)


def test_that_freqtrades_own_figures_are_met(freqtrade_export):
    summary = summarize(freqtrade_export)
    stats = read_backtest_result(freqtrade_export.result_path).stats
    totals = summary["totals"]
    assert totals["trades"] == stats["total_trades"] == 352
    assert totals["net_profit"] == pytest.approx(stats["profit_total_abs"], abs=1e-4)
    assert totals["net_profit_percent"] == pytest.approx(100 * stats["profit_total"], abs=1e-4)
    assert totals["final_balance"] == pytest.approx(stats["final_balance"], abs=1e-4)
    assert totals["win_rate"] == pytest.approx(stats["winrate"], rel=1e-5)
    assert totals["profit_factor"] == pytest.approx(stats["profit_factor"], rel=1e-5)
    assert totals["freqtrade"]["sharpe_closed_trades"] == pytest.approx(stats["sharpe"], rel=1e-5)
    held = summary["buy_and_hold"]["net_profit_percent"]
    assert held == pytest.approx(100 * stats["market_change"], abs=1e-4)
    for row, theirs in zip(summary["by_pair"], stats["results_per_pair"][:2], strict=True):
        assert row["pair"] == theirs["key"]
        assert row["net_profit"] == pytest.approx(theirs["profit_total_abs"], abs=1e-4)
    # Open losses count in ours only.
    assert totals["max_drawdown_percent"] >= totals["freqtrade"]["max_drawdown_account_percent"]
    assert summary["predictions"]["status"] == "none"


def test_that_freqtrades_mark_of_an_undefined_ratio_becomes_none(make_backtest):
    assert summarize(make_backtest())["totals"]["freqtrade"]["sharpe_closed_trades"] is None


def test_that_a_planted_coefficient_is_found_within_its_error(make_backtest):
    predictions = summarize(make_backtest(signal=0.5))["predictions"]
    overall = predictions["overall"]
    assert overall["n_windows"] == 12 and overall["n_window_times"] == 6
    assert overall["mean_ic"] == pytest.approx(0.5, abs=4 * overall["mean_ic_standard_error"])
    assert 0.35 < overall["mean_ic"] < 0.65
    assert overall["positive_window_share"] == 1.0
    # Six windows that are all positive are no proof: the error must not be zero.
    assert overall["positive_window_share_standard_error"] > 0.05
    assert overall["hit_rate"] > 0.6 and overall["icir"] > 2


def test_that_an_oracle_scores_one_and_noise_scores_nothing(make_backtest, tmp_path):
    oracle = summarize(make_backtest(signal=1.0))["predictions"]
    # The label of the last rows is not stored: the builder writes zeros there, which are left out.
    assert oracle["overall"]["mean_ic"] == pytest.approx(1.0)
    shutil.rmtree(tmp_path / "models")
    noise = summarize(make_backtest(signal=0.0))["predictions"]["overall"]
    low, high = noise["mean_ic_interval_95"]
    assert abs(noise["mean_ic"]) < 0.06 and low - 0.05 < 0 < high + 0.05


def test_that_rows_without_a_stored_outcome_are_not_counted(make_backtest):
    last = summarize(make_backtest())["predictions"]["windows"][-1]
    # The data end 6 candles after the last prediction; the horizon is 12.
    assert last["n_rows"] == 288 and last["n"] == 288 - (12 - 6)


def test_that_only_rows_freqai_accepts_are_scored(make_backtest):
    artifacts = make_backtest(signal=1.0)
    path = next(artifacts.run_models_dir.glob("*/cb_btc_1704844800_prediction.feather"))
    frame = pd.read_feather(path)
    frame.loc[::2, "&-forward_return"] = 1e3
    frame.loc[::2, "do_predict"] = 0.0
    frame.to_feather(path)
    window = summarize(artifacts)["predictions"]["windows"][0]
    assert window["pair"] == "BTC/USDT:USDT"
    assert window["do_predict_share"] == pytest.approx(0.5)
    assert window["n"] == 144 and window["ic"] == pytest.approx(1.0)


def test_that_predictions_of_another_run_are_left_out(make_backtest, make_prediction):
    artifacts = make_backtest()
    before = summarize(artifacts)
    result = read_backtest_result(artifacts.result_path)
    for hours in (-24, 7, 24 * 40):
        begin = START + pd.Timedelta(hours=hours)
        rows = pd.Series(1.0, pd.date_range(begin, periods=288, freq="5min"))
        make_prediction(artifacts.run_models_dir, "BTC/USDT:USDT", begin, rows)
    assert len(read_windows(artifacts, result)) == 12
    assert summarize(artifacts) == before


def test_that_a_constant_prediction_has_no_coefficient_but_is_no_error(make_backtest):
    artifacts = make_backtest()
    path = next(artifacts.run_models_dir.glob("*/cb_btc_1704844800_prediction.feather"))
    pd.read_feather(path).assign(**{"&-forward_return": 0.0}).to_feather(path)
    predictions = summarize(artifacts)["predictions"]
    assert predictions["windows"][0]["ic"] is None
    assert predictions["overall"]["mean_ic"] is not None


def test_that_no_trade_gives_empty_tables_and_no_ratio(make_backtest):
    summary = summarize(make_backtest(with_trades=False))
    totals = summary["totals"]
    assert totals["trades"] == 0 and totals["net_profit"] == 0
    assert totals["win_rate"] is None and totals["daily_sharpe"] is None
    assert totals["max_drawdown_percent"] == 0 and totals["calmar"] is None
    assert summary["by_mode"] == [] and summary["predictions"]["status"] == "ok"


def test_that_one_pair_is_enough(make_backtest):
    summary = summarize(make_backtest(pairs=("BTC/USDT:USDT",)))
    assert [row["pair"] for row in summary["by_pair"]] == ["BTC/USDT:USDT"]
    assert summary["predictions"]["overall"]["n_windows"] == 6


@pytest.mark.parametrize(
    ("wanted", "part", "reason"),
    [
        ({"with_predictions": False}, "predictions", "no predictions of this run"),
        ({"classifier": True}, "predictions", "predicts classes"),
        ({"config": {"freqai": {"identifier": "run"}}}, "predictions", "label_period_candles"),
        ({"with_importance": False}, "feature_importance", "wrote no window files"),
    ],
)
def test_that_a_missing_part_says_why(make_backtest, wanted, part, reason):
    found = summarize(make_backtest(**wanted))[part]
    assert found["status"] == "none" and reason in found["reason"]


def test_that_importance_is_the_mean_share_and_stability_the_rank_correlation(make_backtest):
    importance = summarize(make_backtest())["feature_importance"]
    assert [row["feature"] for row in importance["top"]] == ["%-rsi", "%-adx", "%-volume"]
    assert [row["mean_share"] for row in importance["top"]] == [0.5, 0.3, 0.2]
    assert [(row["low"], row["high"]) for row in importance["top"]] == [
        (0.5, 0.5),
        (0.3, 0.3),
        (0.2, 0.2),
    ]
    assert importance["n_windows"] == 12 and importance["stability"] == 1.0


def test_that_a_record_ending_where_its_predictions_start_belongs_to_them(make_backtest):
    artifacts = make_backtest(pairs=("BTC/USDT:USDT",), with_importance=False)
    record = {"pair": "BTC/USDT:USDT", "feature_importance": {"%-rsi": 1.0}}
    for day in range(6):
        until = int((START + pd.Timedelta(days=day)).timestamp())
        name = f"BTC_USDT_USDT_{until}.json"
        write_json(artifacts.run_models_dir / "windows" / name, record)
    assert summarize(artifacts)["feature_importance"]["n_windows"] == 6


def test_that_the_hit_rate_over_all_weighs_every_row_alike(make_backtest):
    artifacts = make_backtest(signal=0.0, pairs=("BTC/USDT:USDT",))
    path = next(artifacts.run_models_dir.glob("*/cb_btc_1704844800_prediction.feather"))
    frame = pd.read_feather(path)
    frame.loc[20:, "do_predict"] = 0.0
    frame["&-forward_return"] = 1.0
    frame.to_feather(path)
    predictions = summarize(artifacts)["predictions"]
    hits = sum(row["hit_rate"] * row["n"] for row in predictions["windows"])
    rows = sum(row["n"] for row in predictions["windows"])
    assert predictions["windows"][0]["n"] == 20
    assert predictions["overall"]["hit_rate"] == pytest.approx(hits / rows, abs=1e-5)


def test_that_reversed_rankings_lower_the_stability(make_backtest):
    artifacts = make_backtest(pairs=("BTC/USDT:USDT",))
    paths = sorted((artifacts.run_models_dir / "windows").glob("*.json"))
    for path in paths[::2]:
        shares = {"%-rsi": 0.2, "%-adx": 0.3, "%-volume": 0.5}
        write_json(path, {"pair": "BTC/USDT:USDT", "feature_importance": shares})
    importance = summarize(artifacts)["feature_importance"]
    assert importance["stability"] == -1.0
    assert importance["top"][0]["mean_share"] == pytest.approx(0.35)


def test_that_a_malformed_window_file_is_named(make_backtest):
    artifacts = make_backtest()
    path = next((artifacts.run_models_dir / "windows").glob("*.json"))
    path.write_text("{}")
    with pytest.raises(DataError, match=path.name):
        summarize(artifacts)
    path.write_text("{")
    with pytest.raises(StateCorrupt, match=path.name):
        summarize(artifacts)


def test_that_a_cut_prediction_file_is_named(make_backtest):
    artifacts = make_backtest()
    path = next(artifacts.run_models_dir.glob("*/*.feather"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=f"{path.name}.*Delete it"):
        summarize(artifacts)


def test_that_missing_candles_are_a_data_error(make_backtest, tmp_path):
    artifacts = replace(make_backtest(), datadir=tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere"):
        summarize(artifacts)


def test_that_a_simulated_market_says_so_with_its_true_coefficients(make_backtest):
    artifacts = make_backtest()
    assert summarize(artifacts)["market"]["kind"] == "recorded"
    planted = {"signal": "order_flow", "information_coefficient": {"1": 0.1, "12": 0.08}}
    manifest = {"kind": "simulated", "planted": [planted], "statement": ["Prices follow a model."]}
    write_json(artifacts.datadir / "market.json", manifest)
    summary = summarize(artifacts)
    assert summary["market"]["planted"][0]["true_ic_at_horizon"] == 0.08
    assert "Prices follow a model." in summary["simulated"]
    assert any("whole market is simulated" in line for line in summary["simulated"])


def test_that_the_true_coefficient_is_looked_up_by_time_and_not_by_count_of_candles():
    planted = {"signal": "news", "information_coefficient": {"12": 0.1, "36": 0.3}}
    manifest = {"kind": "simulated", "planted": [planted]}
    found = {
        timeframe: describe_market(manifest, 12, timeframe)["planted"][0]["true_ic_at_horizon"]
        for timeframe in ("5m", "15m", "1m", "1h")
    }
    assert found == {"5m": 0.1, "15m": 0.3, "1m": None, "1h": None}


def test_that_spot_has_no_line_about_funding(make_backtest, tmp_path):
    futures = "\n".join(summarize(make_backtest())["simulated"])
    assert "Funding" in futures and "Liquidation" in futures
    for path in (tmp_path / "data" / "futures").glob("*.feather"):
        path.rename(tmp_path / "data" / path.name.replace("-futures", ""))
    shutil.rmtree(tmp_path / "models")
    made = make_backtest(stats={"trading_mode": "spot", "margin_mode": ""})
    spot = summarize(made)
    assert "Funding" not in "\n".join(spot["simulated"])
    assert spot["backtest"]["margin_mode"] is None
    assert np.isfinite(spot["buy_and_hold"]["net_profit_percent"])
