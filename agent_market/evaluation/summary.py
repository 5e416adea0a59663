"""The summary of a backtest: what a person, a gate or an agent reads before anything else."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from agent_market.evaluation.backtest_result import (
    BacktestArtifacts,
    BacktestResult,
    read_backtest_result,
)
from agent_market.evaluation.equity import buy_and_hold, mark_to_market, read_closes
from agent_market.evaluation.feature_importance import summarize_importance
from agent_market.evaluation.metrics import (
    daily_returns,
    max_drawdown,
    sharpe_interval,
    sharpe_ratio,
    sortino_ratio,
)
from agent_market.evaluation.predictions import score_predictions
from agent_market.evaluation.regime_breakdown import (
    RegimeOf,
    entry_regimes,
    mode_regime_rows,
)
from agent_market.evaluation.statement import (
    NOT_PROVEN,
    describe_market,
    read_manifest,
    simulation_statement,
)
from agent_market.evaluation.trade_breakdown import breakdown, directions, modes, trade_figures

SCHEMA = 1
_UNDEFINED_RATIO = -100.0


def load_result(artifacts: BacktestArtifacts) -> BacktestResult:
    """Return the backtest of the configured strategy (or of the only one in the file)."""
    return read_backtest_result(artifacts.result_path, artifacts.config.get("strategy"))


def summarize(artifacts: BacktestArtifacts, regime_of: RegimeOf | None = None) -> dict[str, Any]:
    """Return everything that a backtest showed, as plain JSON values.

    The same artifacts give the same summary byte for byte: keys are sorted, floats rounded (6
    significant digits below 1, 4 decimals above), no time of writing. An undefined figure is
    None, never NaN. Docs: `docs/report.md` explains each one.

    Parameters
    ----------
    artifacts : BacktestArtifacts
        What the backtest left.
    regime_of : callable or None
        Names each candle's regime, as the strategy saw it; None: `by_mode_and_regime` is empty.

    Raises
    ------
    DataError
        The result, a prediction file or the candles of a pair are missing or malformed.
    StateCorrupt
        A JSON file beside them does not parse.
    """
    result = load_result(artifacts)
    closes = read_closes(result, artifacts.datadir)
    manifest = read_manifest(artifacts.datadir)
    trades = result.trades
    summary = {
        "schema": SCHEMA,
        "backtest": _describe(artifacts, result),
        "totals": _totals(result, closes),
        "buy_and_hold": _buy_and_hold(result, closes),
        "by_pair": breakdown(trades, trades["pair"], "pair"),
        "by_mode": breakdown(trades, modes(trades), "mode"),
        "by_mode_and_regime": _by_regime(artifacts, result, regime_of),
        "by_exit_reason": breakdown(trades, trades["exit_reason"], "exit_reason"),
        "by_direction": breakdown(trades, directions(trades), "direction"),
        "predictions": score_predictions(artifacts, result),
        "feature_importance": summarize_importance(artifacts, result),
        "market": describe_market(manifest, artifacts.horizon_candles, result.timeframe),
        "simulated": simulation_statement(result, manifest),
        "not_proven": list(NOT_PROVEN),
        "provenance": dict(artifacts.provenance),
    }
    plain: dict[str, Any] = json.loads(
        json.dumps(plain_values(summary), sort_keys=True, allow_nan=False)
    )
    return plain


def _by_regime(
    artifacts: BacktestArtifacts, result: BacktestResult, regime_of: RegimeOf | None
) -> list[dict[str, Any]]:
    if regime_of is None:
        return []
    return mode_regime_rows(result.trades, entry_regimes(result, artifacts.datadir, regime_of))


def _describe(artifacts: BacktestArtifacts, result: BacktestResult) -> dict[str, Any]:
    stats = result.stats
    return {
        "strategy": result.strategy,
        "model": stats.get("freqaimodel") or artifacts.config.get("freqaimodel"),
        "identifier": stats.get("freqai_identifier"),
        "pairs": result.pairs,
        "timeframe": result.timeframe,
        "timerange": stats.get("timerange"),
        "start": result.start.isoformat(),
        "end": result.end.isoformat(),
        "days": (result.end - result.start) / pd.Timedelta(days=1),
        "trading_mode": str(stats.get("trading_mode", "spot")).lower(),
        "margin_mode": str(stats.get("margin_mode") or "").lower() or None,
        "stake_currency": stats.get("stake_currency"),
        "starting_balance": result.starting_balance,
        "max_open_trades": stats.get("max_open_trades"),
    }


def _totals(result: BacktestResult, closes: pd.DataFrame) -> dict[str, Any]:
    account = mark_to_market(result, closes)
    equity = account["equity"]
    figures = trade_figures(result.trades)
    final = result.starting_balance + figures["net_profit"]
    return {
        **figures,
        **_return_figures(equity),
        "net_profit_percent": 100 * figures["net_profit"] / result.starting_balance,
        "final_balance": final,
        "time_in_market_share": float((account["gross"].iloc[1:] > 0).mean()),
        "mean_gross_leverage": float((account["gross"] / equity).iloc[1:].mean()),
        "freqtrade": _freqtrade_figures(result),
    }


def _return_figures(equity: pd.Series[float]) -> dict[str, Any]:
    returns = np.asarray(daily_returns(equity), np.float64)
    fall = max_drawdown(equity)
    gain = float(equity.iloc[-1] / equity.iloc[0]) - 1
    years = (equity.index[-1] - equity.index[0]) / pd.Timedelta(days=365)
    return {
        "max_drawdown_percent": 100 * fall,
        "daily_sharpe": sharpe_ratio(returns),
        "daily_sharpe_interval_95": list(sharpe_interval(returns)),
        "daily_sortino": sortino_ratio(returns),
        "calmar": gain / years / fall if fall > 0 and years > 0 else math.nan,
        "n_daily_returns": len(returns),
    }


def _freqtrade_figures(result: BacktestResult) -> dict[str, Any]:
    stats, wallet = result.stats, result.stats.get("wallet_stats") or {}
    return {
        "max_drawdown_account_percent": 100 * float(stats.get("max_drawdown_account") or 0.0),
        "sharpe_closed_trades": _ratio(stats.get("sharpe")),
        "sortino_closed_trades": _ratio(stats.get("sortino")),
        "calmar_closed_trades": _ratio(stats.get("calmar")),
        "sharpe_daily_wallet": _ratio(wallet.get("sharpe")),
        "sortino_daily_wallet": _ratio(wallet.get("sortino")),
        "calmar_daily_wallet": _ratio(wallet.get("calmar")),
        "market_change_percent": 100 * float(stats.get("market_change") or 0.0),
    }


def _ratio(value: float | None) -> float | None:
    # Freqtrade writes -100 where a ratio has no denominator.
    return None if value is None or value == _UNDEFINED_RATIO else float(value)


def _buy_and_hold(result: BacktestResult, closes: pd.DataFrame) -> dict[str, Any]:
    if closes.empty:
        return {"status": "none", "reason": "no candles are stored for the period", "by_pair": []}
    value = buy_and_hold(closes, result.starting_balance, result.timeframe)
    growth = closes.iloc[-1] / closes.bfill().iloc[0]
    return {
        "status": "ok",
        "reason": None,
        "net_profit_percent": 100 * (float(value.iloc[-1]) / result.starting_balance - 1),
        **_return_figures(value),
        "by_pair": [
            {"pair": pair, "net_profit_percent": 100 * (float(growth[pair]) - 1)}
            for pair in result.pairs
        ],
    }


def plain_values(value: Any) -> Any:
    """Return plain JSON values: floats rounded, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, float | np.floating):
        return _rounded(float(value))
    return int(value) if isinstance(value, np.integer) else value


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    # Adding zero turns -0.0 into 0.0.
    return (float(f"{value:.6g}") if abs(value) < 1 else round(value, 4)) + 0.0
