"""Each mode's trades on a planted market, in the regime that the mode is made for.

A model of candles alone is trained on one simulated market and predicts another one, of another
seed; one day in five it is away, so that the strategy falls to level `rules`. A real
`freqtrade backtesting` process trades it. The crowd, which squeeze is made for, is planted on
request; the model knows nothing of funding. Nothing is planted at releases: what event earns, it
earns by the prediction.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from agent_market.decisions.regime import regime_names
from agent_market.evaluation import BacktestArtifacts, summarize
from agent_market.market.candles import read_candles
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import PlantedAlphaSettings, RegimeSettings, SimulatorSettings
from tests.freqtrade_process import PROJECT, WIDE, overlay

Predict = Callable[[pd.DataFrame], pd.DataFrame]
TRAINED_ON, TRADED = 901, 301
HORIZON, WINDOW = 12, 72
MADE_FOR = {
    "trend": {"trend"},
    "mean_reversion": {"range"},
    "breakout": {"shock"},
    "defensive": {"trend"},
    "squeeze": {"range", "trend", "shock"},
    "event": {"range", "trend", "shock"},
}


def _features(candles: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Return what candles say, and the volatility of one: row t uses rows up to t."""
    move = np.log(candles["close"]).diff()
    squares = move**2
    spread = squares.rolling(WINDOW).mean() ** 0.5
    usual = squares.rolling(7 * 288, min_periods=2 * 288).mean() ** 0.5
    span = (candles["high"] - candles["low"]).where(lambda width: width > 0)
    location = (2 * candles["close"] - candles["high"] - candles["low"]) / span
    table = {f"return_{n}": move.rolling(n).sum() / spread / n**0.5 for n in (1, 3, 6, 12, 24, 48)}
    table |= {
        f"volatility_{n}": np.log(squares.rolling(n).mean() ** 0.5 / usual) for n in (12, 72, 288)
    }
    table |= {f"location_{n}": location.rolling(n).mean() for n in (1, 3, 6)}
    table["momentum"] = (move / spread).ewm(halflife=24).mean()
    return pd.DataFrame(table), spread * HORIZON**0.5


def _train(datadir: Path, pairs: tuple[str, ...]) -> lightgbm.Booster:
    parts = []
    for pair in pairs:
        candles = read_candles(datadir, pair, "5m", "futures")
        features, spread = _features(candles)
        ahead = np.log(candles["close"].shift(-HORIZON) / candles["close"]) / spread
        parts.append(features.assign(target=ahead).dropna())
    rows = pd.concat(parts)
    target = rows.pop("target")
    parameters = {
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_data_in_leaf": 500,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
        "num_threads": 1,
        "seed": 7,
        "verbose": -1,
    }
    return lightgbm.train(parameters, lightgbm.Dataset(rows, target), num_boost_round=60)


def _of_model(model: lightgbm.Booster) -> Predict:
    """Return what predicts by the model, away one day in five."""

    def predict(candles: pd.DataFrame) -> pd.DataFrame:
        features, spread = _features(candles)
        is_away = candles["date"].dt.day_of_year % 5 == 0
        prediction = pd.Series(np.asarray(model.predict(features)), candles.index) * spread
        trusted = features.notna().all(axis=1) & ~is_away
        return pd.DataFrame({"prediction": prediction, "trusted": trusted})

    return predict


def _of_nothing(candles: pd.DataFrame) -> pd.DataFrame:
    """Return confident predictions, of 20 bps as a rule, that have nothing to do with prices."""
    random = np.random.default_rng(len(candles) + round(candles["close"].iloc[0]))
    hourly = np.repeat(random.standard_normal(-(-len(candles) // 12)), 12)[: len(candles)]
    return pd.DataFrame({"prediction": 0.002 * hourly, "trusted": True})


def _backtest(
    market: SimulatorSettings, predict: Predict, folder: Path, **modes: Any
) -> dict[str, Any]:
    """Return the summary of a `freqtrade backtesting` process on a market."""
    datadir, userdir, results = folder / "market", folder / "userdir", folder / "results"
    for each in (userdir, results):
        each.mkdir(parents=True)
    write_market(market, datadir)
    for pair in market.pairs:
        candles = read_candles(datadir, pair, "5m", "futures")
        given = predict(candles).assign(date=candles["date"])
        given.to_parquet(userdir / f"predictions_{pair.partition('/')[0]}.parquet")
    last = market.start + pd.Timedelta(days=market.days)
    with launch_replay(datadir) as replay:
        config: dict[str, Any] = {
            **ccxt_overlay(replay.url),
            "user_data_dir": str(userdir),
            "strategy_path": str(Path(__file__).parent / "strategies"),
            "max_open_trades": len(market.pairs),
            "freqai": {"train_period_days": 1, "backtest_period_days": 7},
            "agent_market": {"state_dir": str(folder / "state"), "modes": modes},
        }
        config["exchange"]["pair_whitelist"] = list(market.pairs)
        command = [
            "backtesting",
            "-c",
            "config.json",
            "-c",
            str(overlay(folder / "c.json", config)),
        ]
        command += ["--datadir", str(datadir), "--timerange", f"20250110-{last:%Y%m%d}"]
        command += ["--strategy", "GivenPredictions", "--freqaimodel", "CatboostRegressor"]
        command += ["--export", "trades", "--backtest-directory", str(results), "--cache", "none"]
        run = subprocess.run(
            [sys.executable, "-m", "freqtrade", *command],
            cwd=PROJECT,
            env=WIDE | {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "strategies")])},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    newest = json.loads((results / ".last_result.json").read_text())["latest_backtest"]
    artifacts = BacktestArtifacts(results / newest, userdir / "models", datadir)
    return summarize(artifacts, partial(regime_names, settings=RegimeSettings()))


def _in_its_regime(summary: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    rows = [row for row in summary["by_mode_and_regime"] if row["mode"] == mode]
    return [row for row in rows if row["regime"] in MADE_FOR[mode]]


def _reach(row: dict[str, Any]) -> float:
    low, high = row["mean_net_bps_interval_95"]
    return float(row["trades"] * (high - low) / 2)


def _mean(rows: list[dict[str, Any]], figure: str) -> float:
    return sum(row[figure] * row["trades"] for row in rows) / sum(row["trades"] for row in rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> lightgbm.Booster:
    other = SimulatorSettings(
        seed=TRAINED_ON,
        days=60,
        timeframes=("5m",),
        detail_days=0,
        start=pd.Timestamp("2024-06-01"),
    )
    datadir = tmp_path_factory.mktemp("other")
    write_market(other, datadir)
    return _train(datadir, other.pairs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_each_mode_earns_in_the_regime_it_is_made_for(
    model: lightgbm.Booster, tmp_path: Path
) -> None:
    market = SimulatorSettings(
        seed=TRADED,
        days=100,
        timeframes=("5m", "1h"),
        detail_days=0,
        alpha=PlantedAlphaSettings(crowding=0.2),
    )
    summary = _backtest(market, _of_model(model), tmp_path)
    for mode in MADE_FOR:
        rows = _in_its_regime(summary, mode)
        assert sum(row["trades"] for row in rows) >= 20, (mode, rows)
        assert _mean(rows, "mean_net_bps") > 0, (mode, rows)
    (trend,) = _in_its_regime(summary, "trend")
    assert trend["mean_net_bps_interval_95"][0] > 0


@pytest.mark.timeout(600)
def test_that_the_usual_modes_earn_before_costs_on_a_smaller_market(
    model: lightgbm.Booster, tmp_path: Path
) -> None:
    pairs = SimulatorSettings().pairs[:2]
    market = SimulatorSettings(
        seed=TRADED, days=45, timeframes=("5m", "1h"), detail_days=0, pairs=pairs
    )
    summary = _backtest(market, _of_model(model), tmp_path)
    for mode in ("trend", "defensive"):
        rows = _in_its_regime(summary, mode)
        assert sum(row["trades"] for row in rows) >= 20, (mode, rows)
        assert _mean(rows, "mean_before_fees_bps") > 0, (mode, rows)
    regimes = {row["mode"]: row["regime"] for row in summary["by_mode_and_regime"]}
    assert regimes["trend"] == "trend"
    assert regimes["mean_reversion"] == "range"


@pytest.mark.timeout(900)
def test_that_confident_predictions_of_nothing_are_followed_little_and_cost_no_more_than_costs(
    tmp_path: Path,
) -> None:
    pairs = SimulatorSettings().pairs[:2]
    market = SimulatorSettings(
        seed=TRADED, days=50, timeframes=("5m", "1h"), detail_days=0, pairs=pairs, no_alpha=True
    )
    asked = _backtest(market, _of_nothing, tmp_path / "asked")
    plain = _backtest(market, _of_nothing, tmp_path / "plain", min_skill_t=None)
    # a fortnight of forty days passes before there is evidence
    assert asked["totals"]["trades"] < 0.7 * plain["totals"]["trades"]
    for summary in (asked, plain):
        rows = [row for row in summary["by_mode_and_regime"] if row["days"] > 2]
        before = sum(row["mean_before_fees_bps"] * row["trades"] for row in rows)
        assert abs(before) < 1.5 * math.hypot(*map(_reach, rows)), rows  # three standard errors
