"""Measure how much of the simulator's planted alpha the models find out of sample.

Every model is trained by `run_window` on walk-forward windows of one pair, with features made of
published data alone, and scored on the rows after each window. The study prints

- the share of the documented ceiling that each model reaches, beside what least squares on the true
  signals reaches with as many rows;
- the same for shorter and longer training periods;
- how much of it these features and parameters find, and how much those of `config.json`;
- what remains on the same markets with nothing planted, where every score must be noise;
- what models learn from permuted labels, and with the label among their features.

Features and parameters were chosen on markets of the seeds 1 to 3; the study reports other seeds.
Takes ten to fifteen minutes of one core. Writes `benchmarks/results/planted_skill.json`.
`tests/leak/test_models.py` runs parts of it; docs/model-skill.md tells what it found.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.evaluation.training.bootstrap import (
    block_length,
    block_starts,
    coefficient_draws,
)
from agent_market.evaluation.training.runner import Candidate, run_candidates
from agent_market.evaluation.training.scored_rows import ScoredRows, on_one_timeline, scored_rows
from agent_market.evaluation.training.scores import mean_coefficient
from agent_market.evaluation.training.sign_strategy import DEFAULT_COST_BPS, strategy_returns
from agent_market.features import (
    add_calendar_features,
    add_candle_features,
    add_headline_features,
    add_order_flow_features,
    add_period_features,
    add_regime_momentum_features,
)
from agent_market.learning.feature_table import FeatureBlock, FeatureTable
from agent_market.learning.labels import ForwardReturn
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan, Window
from agent_market.learning.window_tasks import run_window
from agent_market.market.candles import pair_file_name
from agent_market.market.simulator import (
    SIGNALS,
    Market,
    PairMarket,
    candles_of,
    combined_coefficient,
    information_coefficient,
    signal_of,
    simulate,
    write_market,
)
from agent_market.market.simulator.frames import order_flow_of
from agent_market.market.simulator.newsfeed import news_of
from agent_market.settings import SimulatorSettings
from agent_market.store import write_json

FloatArray = npt.NDArray[np.float64]
MakeSpec = Callable[[str, int], ModelSpec]

LABEL = "&-forward_return"
TIMEFRAME = "5m"
DAY = 288  # candles
WARM_UP_DAYS = 15  # the longest memory of a feature is 14.4 days
PAIRS = ("BTC/USDT:USDT", "LTC/USDT:USDT")
SEEDS = (31, 32, 33)
LENGTHS = (15, 30, 60, 120)
HOST_PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT")  # ETH: config.json's features
PERMUTATIONS = 20

_PROJECT = Path(__file__).resolve().parents[1]
_RESULT = Path(__file__).parent / "results" / "planted_skill.json"

# Returns are mostly noise: trees of few leaves, each on half the rows and some of the features, and
# a fixed number of them, because a tenth of the rows is too noisy to say when to stop.
LIGHTGBM = {
    "n_estimators": 100,
    "learning_rate": 0.04,
    "num_leaves": 5,
    "min_child_samples": 400,
    "extra_trees": False,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "early_stopping_rounds": 0,
}
XGBOOST = {
    "n_estimators": 100,
    "eta": 0.04,
    "max_depth": 3,
    "min_child_weight": 200,
    "subsample": 0.5,
    "colsample_bynode": 0.5,
    "early_stopping_rounds": 0,
}
CATBOOST = {
    "iterations": 100,
    "learning_rate": 0.04,
    "depth": 4,
    "l2_leaf_reg": 50,
    "bootstrap_type": "Bernoulli",
    "subsample": 0.5,
    "rsm": 0.5,
    "early_stopping_rounds": 0,
}
TREES = [
    {"name": "lightgbm_regressor", "params": LIGHTGBM},
    {"name": "xgboost_regressor", "params": XGBOOST},
    {"name": "catboost_regressor", "params": CATBOOST},
]
NET = {"max_epochs": 3, "early_stopping_rounds": 2, "batch_size": 512, "learning_rate": 0.003}
WINDOWED = {"window_candles": 4, **NET}
ASKED = ("lightgbm_regressor", "catboost_regressor", "stacking_regressor")
# Stacking five times three models of default size on the features of config.json takes minutes.
QUICK = ASKED[:2]


@dataclass(frozen=True)
class Spans:
    """Which rows train and which are predicted.

    horizon : of the label, in candles. train_days : of each window. predict_days, n_windows : the
    rows after it, and how often. longest_train_days : the first prediction comes after so many,
    so that studies of several lengths predict the same rows.
    """

    horizon: int = 3
    train_days: int = 60
    predict_days: int = 45
    n_windows: int = 2
    longest_train_days: int = 60

    @property
    def market_days(self) -> int:
        """Days to simulate."""
        return WARM_UP_DAYS + self.longest_train_days + self.n_windows * self.predict_days

    def windows(self, start: pd.Timestamp) -> tuple[Window, ...]:
        """Return the windows of a market that starts at `start`, in rows of its candles."""
        first = (WARM_UP_DAYS + self.longest_train_days) * DAY
        step = self.predict_days * DAY
        stops = range(first, first + self.n_windows * step, step)
        return tuple(
            Window(
                trained_at=int((start + pd.Timedelta(minutes=5 * stop)).timestamp()),
                train=(stop - self.train_days * DAY, stop),
                predict=(stop, stop + step),
                known=stop,
            )
            for stop in stops
        )


@dataclass(frozen=True)
class Ground:
    """A simulated market to train on.

    plans : one a pair, on published data. truths : the same plans on the true signals instead.
    signals : of each pair, (n_rows, 3). market : what was simulated.
    """

    plans: list[PairPlan]
    truths: list[PairPlan]
    signals: list[FloatArray]
    market: Market

    def ceiling(self) -> float:
        """Return the documented coefficient of the best linear combination."""
        horizon = self.plans[0].horizon_candles
        return combined_coefficient(horizon, self.market.blueprint.drifts)

    def realized_ceiling(self) -> float:
        """Return the coefficient that this combination has on the very rows predicted."""
        horizon, drifts = self.plans[0].horizon_candles, self.market.blueprint.drifts
        weights = [information_coefficient(name, horizon, drifts) for name in SIGNALS]
        found = []
        for plan, signals in zip(self.plans, self.signals, strict=True):
            rows = slice(plan.windows[0].predict[0], plan.windows[-1].predict[1])
            label, best = plan.labels[rows, 0], signals[rows] @ np.array(weights)
            known = np.isfinite(label)
            found.append(np.corrcoef(best[known], label[known])[0, 1])
        return float(np.mean(found))


def model_parameters(horizon: int) -> dict[str, dict[str, Any]]:
    """Return parameters for every regressor of the registry; the nets are tiny."""
    return {
        "lightgbm_regressor": LIGHTGBM,
        "xgboost_regressor": XGBOOST,
        "catboost_regressor": CATBOOST,
        "average_regressor": {"members": TREES},
        "stacking_regressor": {"members": TREES, "horizon_candles": horizon, "folds": 3},
        "linear_regressor": {"imputer": "median"},
        "mlp_regressor": {"hidden_size": 16, "layers": 1, **NET},
        "lstm_regressor": {"hidden_size": 16, **WINDOWED},
        "tcn_regressor": {"channels": 16, **WINDOWED},
        "transformer_regressor": {"hidden_size": 16, "heads": 2, **WINDOWED},
    }


def spec_of(adapter: str, horizon: int, seed: int = 0) -> ModelSpec:
    """Return what to fit: a tenth of the rows ends the fit early, after a purge."""
    params = model_parameters(horizon)[adapter]
    return ModelSpec(adapter, params, seed=seed, horizon_candles=horizon, test_size=0.1)


def spec_of_oracle(adapter: str, horizon: int) -> ModelSpec:
    """Return the same for a label among the features: nets copy a column in more, smaller steps."""
    spec = spec_of(adapter, horizon)
    longer = {"max_epochs": 15, "batch_size": 128} if "max_epochs" in spec.params else {}
    return replace(spec, params={**spec.params, **longer})


def make_ground(settings: SimulatorSettings, spans: Spans, folder: Path) -> Ground:
    """Simulate a market and write its features below `folder`."""
    market = simulate(settings.model_copy(update={"days": spans.market_days}))
    plans, truths, signals = [], [], []
    for name, pair in market.pairs.items():
        candles = candles_of(pair, TIMEFRAME)
        true = _signals_of(pair)
        published = make_features(market, pair, candles)
        place = folder / pair_file_name(name)
        plans.append(_plan(name, candles, published, spans, place / "published"))
        frame = pd.DataFrame(true, columns=[f"%-{signal}" for signal in SIGNALS])
        truths.append(_plan(name, candles, frame, spans, place / "truth"))
        signals.append(true)
    return Ground(plans, truths, signals, market)


def make_host_ground(
    settings: SimulatorSettings, spans: Spans, folder: Path
) -> tuple[Ground, dict[str, Any]]:
    """Return the same market with features and windows of `config.json`, and that configuration.

    HybridMultiMode's features on two timeframes and three coins, and the training period, are as
    there; the predicted rows are those of `spans`.
    """
    # Not at the top: tests import this module, and need no host.
    from agent_market.bridge import load_plans, read_config

    settings = settings.model_copy(update={"days": spans.market_days, "pairs": HOST_PAIRS})
    write_market(settings, folder / "data")
    config = json.loads((_PROJECT / "config.json").read_text())
    del config["add_config_files"], config["api_server"]
    config |= {key: str(_PROJECT / config[key]) for key in ("strategy_path", "freqaimodel_path")}
    config["user_data_dir"] = str(folder)
    config["exchange"]["pair_whitelist"] = list(PAIRS)
    config["freqai"]["backtest_period_days"] = spans.predict_days
    config["agent_market"]["state_dir"] = str(folder / "state")
    (folder / "config.json").write_text(json.dumps(config))
    first = pd.Timestamp(settings.start) + pd.Timedelta(
        days=WARM_UP_DAYS + spans.longest_train_days
    )
    last = first + pd.Timedelta(days=spans.n_windows * spans.predict_days)
    period = {"timerange": f"{first:%Y%m%d}-{last:%Y%m%d}", "datadir": folder / "data"}
    merged = read_config([folder / "config.json"], period)
    plans = load_plans(merged, horizons=[spans.horizon])[spans.horizon]
    market = simulate(settings)
    signals = [_signals_of(market.pairs[plan.pair])[-len(plan.candles) :] for plan in plans]
    return Ground(plans, [], signals, market), merged


def make_features(market: Market, pair: PairMarket, candles: pd.DataFrame) -> pd.DataFrame:
    """Return the features of one pair: candles, order flow and headlines as they are published."""
    start_ms = market.blueprint.start_ms
    own = {each.profile.base: each.headlines for each in market.pairs.values()}
    stop_ms = start_ms + len(pair) * 60_000
    news = news_of(start_ms, market.blueprint.common.headlines, own, stop_ms)
    frame = add_calendar_features(add_candle_features(candles), TIMEFRAME)
    for period in (12, 48):
        frame = add_period_features(frame, period)
        named = frame.columns.str.replace("-period$", f"-period_{period}", regex=True)
        frame = frame.set_axis(named, axis=1)
    frame = add_order_flow_features(frame, order_flow_of(pair), TIMEFRAME)
    frame = add_regime_momentum_features(frame)
    frame = add_headline_features(frame, news, pair.profile.base, TIMEFRAME)
    return frame.filter(regex=r"^%-")


def shortened(ground: Ground, days: int) -> Ground:
    """Return the market with other training periods before the same predictions."""
    return replace(
        ground,
        plans=[with_train_days(plan, days) for plan in ground.plans],
        truths=[with_train_days(plan, days) for plan in ground.truths],
    )


def with_train_days(plan: PairPlan, days: int) -> PairPlan:
    """Return the plan with other training periods before the same predictions."""
    return replace(
        plan,
        windows=tuple(
            replace(each, train=(each.train[1] - days * DAY, each.train[1]))
            for each in plan.windows
        ),
    )


def permute_labels(plan: PairPlan, seed: int) -> PairPlan:
    """Return the plan whose training labels stand at random rows; those predicted stay."""
    generator = np.random.default_rng(seed)
    permuted = {}
    for window in plan.windows:
        labels = plan.training_labels(window)
        known = np.flatnonzero(np.isfinite(labels[:, 0]))
        labels[known] = labels[generator.permutation(known)]
        permuted[window.trained_at] = labels
    return replace(plan, window_labels=permuted)


def tell_label(plan: PairPlan, folder: Path) -> PairPlan:
    """Return the plan with one more feature: the label with noise of a tenth of its spread.

    The best possible coefficient is then 0.995.
    """
    label = plan.labels[:, 0]
    noise = np.random.default_rng(0).normal(0.0, 0.1 * np.nanstd(label), len(label))
    return with_feature(plan, label + noise, folder)


def with_feature(plan: PairPlan, values: FloatArray, folder: Path) -> PairPlan:
    """Return the plan with one more feature, shape (n_rows,)."""
    published = pd.DataFrame(plan.table.read(0, len(values)), columns=list(plan.table.names))
    return replace(plan, table=_table(published.assign(**{"%-told": values}), folder, plan.candles))


def predict(plans: Sequence[PairPlan], spec: ModelSpec) -> list[ScoredRows]:
    """Train every window of every pair and return the predictions beside what happened.

    Raises
    ------
    RuntimeError
        A window could not be trained.
    """
    horizon = plans[0].horizon_candles
    candidate = Candidate(spec.adapter, horizon, spec)
    found = run_candidates([candidate], {horizon: plans}, lambda tasks: map(run_window, tasks))
    errors = [error for each in found[candidate.key] for error in each.errors]
    if errors:
        raise RuntimeError(errors[0])
    return [scored_rows(each, LABEL) for each in found[candidate.key]]


def coefficient_error(pairs: Sequence[ScoredRows], horizon: int) -> float:
    """Return the standard error of the mean coefficient, by a block bootstrap of all pairs."""
    score, realized = on_one_timeline(
        pairs, [[pair.score for pair in pairs], [pair.realized for pair in pairs]]
    )
    length = max(block_length(len(score), horizon), DAY)
    starts = block_starts(len(score), length, seed=0, resamples=200)
    return float(np.std(coefficient_draws(score, realized, starts, length), ddof=1))


def daily_profit(
    plans: Sequence[PairPlan], pairs: Sequence[ScoredRows], cost_bps: float, column: str
) -> FloatArray:
    """Return what the sign of each prediction earned each day, mean over pairs, in bps."""
    earned = [
        strategy_returns(plan.candles, pair.rows, pair.score, plan.horizon_candles, cost_bps)
        for plan, pair in zip(plans, pairs, strict=True)
    ]
    mean = pd.concat([part[column] for part in earned], axis=1).mean(axis=1)
    return np.asarray(mean.resample("1D").sum() * 1e4, dtype=np.float64)


def t_value(values: FloatArray) -> float:
    """Return the mean over its standard error."""
    return float(values.mean() / (values.std(ddof=1) / math.sqrt(len(values))))


def study_models(
    grounds: Sequence[Ground],
    adapters: Sequence[str],
    on_truth: bool = False,
    make_spec: MakeSpec = spec_of,
) -> list[dict[str, Any]]:
    """Return a row of figures a model: means over the markets."""
    rows = []
    for adapter in adapters:
        started, coefficients, errors = time.process_time(), [], []
        profit: dict[str, list[FloatArray]] = {"gross": [], "net": []}
        for ground in grounds:
            plans = ground.truths if on_truth else ground.plans
            horizon = plans[0].horizon_candles
            pairs = predict(plans, make_spec(adapter, horizon))
            coefficients.append(mean_coefficient(pairs))
            errors.append(coefficient_error(pairs, horizon))
            for column, days in profit.items():
                days.append(daily_profit(plans, pairs, DEFAULT_COST_BPS, column))
        row = _figures(adapter, coefficients, errors, profit, grounds)
        rows.append(row | {"cpu_seconds": round(time.process_time() - started, 1)})
    return rows


def study_lengths(
    grounds: Sequence[Ground], adapters: Sequence[str], lengths: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the share of the ceiling a model reaches by days of training, on the same rows."""
    rows = []
    for days in lengths:
        cut = [shortened(ground, days) for ground in grounds]
        found = {row["model"]: row for row in study_models(cut, adapters)}
        found["true signals"] = study_models(cut, ["linear_regressor"], on_truth=True)[0]
        rows.append(
            {
                "train_days": days,
                "train_rows": days * DAY,
                "share_of_ceiling": {k: row["share_of_ceiling"] for k, row in found.items()},
                "share_interval_95": {k: row["share_interval_95"] for k, row in found.items()},
            }
        )
    return rows


def study_settings(
    grounds: Sequence[Ground], hosts: Sequence[tuple[Ground, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return what this study's features and parameters find, beside those of `config.json`.

    Everything predicts the same rows after the training period of `config.json`.
    """
    config = hosts[0][1]
    own = [shortened(ground, config["freqai"]["train_period_days"]) for ground in grounds]
    asked: tuple[tuple[str, MakeSpec, Sequence[str]], ...] = (
        ("study", spec_of, QUICK),
        ("config.json", _specs_of_host(config), QUICK),
        ("and fitted in full", _specs_of_host(config, {"early_stopping_rounds": 0}), QUICK),
    )
    rows = []
    for features, markets in (("study", own), ("config.json", [host for host, _ in hosts])):
        for parameters, make, adapters in asked:
            found = study_models(markets, adapters, make_spec=make)
            rows += [{"features": features, "parameters": parameters, **row} for row in found]
    return rows


def study_controls(ground: Ground, adapters: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Return what each model scores on permuted labels, and with the label among its features."""
    told = [tell_label(plan, folder / pair_file_name(plan.pair)) for plan in ground.plans]
    rows = []
    for adapter in adapters:
        horizon = ground.plans[0].horizon_candles
        blind = permuted_coefficients(ground.plans, spec_of(adapter, horizon), PERMUTATIONS)
        rows.append(
            {
                "model": adapter,
                "permuted_ic": float(blind.mean()),
                "permuted_spread": float(blind.std(ddof=1)),
                "permuted_t": t_value(blind),
                "oracle_ic": mean_coefficient(predict(told, spec_of_oracle(adapter, horizon))),
            }
        )
    return rows


def permuted_coefficients(
    plans: Sequence[PairPlan], spec: ModelSpec, permutations: int
) -> FloatArray:
    """Return the coefficient after training on each of so many permutations of the labels.

    Only their mean says whether the true labels leak. A single one is a random function of a few
    features; where these do predict, it scores far from zero, on either side, without any leak. The
    plans have one window each: permuted labels keep their mean, and two windows' means would score
    something, the same for every permutation.
    """
    found = [
        mean_coefficient(predict([permute_labels(plan, seed) for plan in plans], spec))
        for seed in range(permutations)
    ]
    return np.array(found)


def _figures(
    adapter: str,
    coefficients: Sequence[float],
    errors: Sequence[float],
    profit: Mapping[str, Sequence[FloatArray]],
    grounds: Sequence[Ground],
) -> dict[str, Any]:
    mean = float(np.mean(coefficients))
    error = math.sqrt(sum(each**2 for each in errors)) / len(errors)
    ceiling = float(np.mean([ground.ceiling() for ground in grounds]))
    row = {
        "model": adapter,
        "ic": mean,
        "ic_error": error,
        "ic_z": mean / error,
        "ic_by_seed": [round(each, 4) for each in coefficients],
    }
    if ceiling:
        row["share_of_ceiling"] = mean / ceiling
        row["share_error"] = error / ceiling
        row["share_interval_95"] = [(mean + side * 1.96 * error) / ceiling for side in (-1, 1)]
        row["share_of_realized"] = mean / float(
            np.mean([ground.realized_ceiling() for ground in grounds])
        )
    for column, days in profit.items():
        every = np.concatenate(days)
        row[f"{column}_bps_a_day"] = float(every.mean())
        row[f"{column}_t"] = t_value(every)
    return row


def _signals_of(pair: PairMarket) -> FloatArray:
    return np.stack([signal_of(pair, signal) for signal in SIGNALS], axis=1)


def _specs_of_host(config: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> MakeSpec:
    """Return what makes specs of `config.json`: an adapter's own section there, or its defaults."""
    from agent_market.bridge import model_spec

    sections = config["freqai"]["model_training_parameters"]
    return lambda adapter, horizon: model_spec(
        config, adapter, horizon, params={**sections.get(adapter, {}), **(more or {})}
    )


def _plan(
    pair: str, candles: pd.DataFrame, features: pd.DataFrame, spans: Spans, folder: Path
) -> PairPlan:
    label = ForwardReturn(horizon_candles=spans.horizon, column=LABEL).compute(candles)
    return PairPlan(
        pair=pair,
        table=_table(features, folder, candles),
        candles=candles,
        labels=label.to_numpy(np.float64)[:, None],
        label_names=(LABEL,),
        horizon_candles=spans.horizon,
        windows=spans.windows(candles["date"].iloc[0]),
    )


def _table(features: pd.DataFrame, folder: Path, candles: pd.DataFrame) -> FeatureTable:
    folder.mkdir(parents=True)
    np.save(folder / "values.npy", features.to_numpy(np.float32))
    np.save(folder / "candles.npy", np.arange(len(candles), dtype=np.int64))
    block = FeatureBlock(folder / "values.npy", tuple(map(str, features.columns)))
    return FeatureTable((block,), folder / "candles.npy", str(folder))


def main() -> None:
    """Run the study, print its tables and write them."""
    started = time.process_time()
    everything = list(model_parameters(1))
    result: dict[str, Any] = {"seeds": SEEDS, "pairs": PAIRS, "cost_bps": DEFAULT_COST_BPS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for horizon, adapters in ((3, everything), (12, [*ASKED, "linear_regressor"])):
            spans = Spans(horizon=horizon, longest_train_days=120)
            grounds = _grounds(spans, folder / str(horizon), no_alpha=False)
            result[f"planted_{horizon}"] = _study_planted(spans, grounds, adapters)
            _print_planted(horizon, result[f"planted_{horizon}"])
            if horizon == 12:  # that of config.json
                hosts = _hosts(spans, folder / "hosts")
                result["settings_12"] = study_settings(grounds, hosts)
                _print_settings(result["settings_12"])
        barren = _grounds(Spans(), folder / "barren", no_alpha=True)
        result["no_alpha"] = study_models(barren, everything)
        _print_no_alpha(result["no_alpha"])
        settings = SimulatorSettings(seed=SEEDS[0], pairs=PAIRS[:1])
        ground = make_ground(settings, Spans(n_windows=1), folder / "controls")
        result["controls"] = study_controls(ground, everything, folder / "told")
        _print_controls(result["controls"])
    result["cpu_seconds"] = round(time.process_time() - started, 1)
    write_json(_RESULT, result)
    print(f"\n{result['cpu_seconds']:.0f} s of one core; written to {_RESULT}")


def _study_planted(
    spans: Spans, grounds: Sequence[Ground], adapters: Sequence[str]
) -> dict[str, Any]:
    truth = study_models(grounds, ["linear_regressor"], on_truth=True)[0]
    return {
        "spans": asdict(spans),
        "ceiling": grounds[0].ceiling(),
        "realized_ceiling": float(np.mean([ground.realized_ceiling() for ground in grounds])),
        "models": [truth | {"model": "true signals"}, *study_models(grounds, adapters)],
        "lengths": study_lengths(grounds, ASKED, LENGTHS),
    }


def _grounds(spans: Spans, folder: Path, no_alpha: bool) -> list[Ground]:
    return [
        make_ground(
            SimulatorSettings(seed=seed, pairs=PAIRS, no_alpha=no_alpha),
            spans,
            folder / str(seed),
        )
        for seed in SEEDS
    ]


def _hosts(spans: Spans, folder: Path) -> list[tuple[Ground, dict[str, Any]]]:
    return [
        make_host_ground(SimulatorSettings(seed=seed), spans, folder / str(seed)) for seed in SEEDS
    ]


def _print_planted(horizon: int, study: Mapping[str, Any]) -> None:
    print(
        f"\nplanted, horizon {horizon} candles: documented ceiling {study['ceiling']:.4f}, on the "
        f"predicted rows {study['realized_ceiling']:.4f}"
    )
    print("| model | IC | share of ceiling | of that on these rows | gross bps/day | net bps/day |")
    print("|---|---|---|---|---|---|")
    for row in study["models"]:
        print(
            f"| {row['model']} | {row['ic']:.4f} +- {row['ic_error']:.4f} "
            f"| {_share(row['share_of_ceiling'], row['share_interval_95'])} "
            f"| {row['share_of_realized']:.1%} "
            f"| {row['gross_bps_a_day']:.0f} | {row['net_bps_a_day']:.0f} |"
        )
    names = list(study["lengths"][0]["share_of_ceiling"])
    print(f"\n| days | rows | {' | '.join(names)} |")
    print("|---|---|" + "---|" * len(names))
    for row in study["lengths"]:
        shares = [
            _share(row["share_of_ceiling"][name], row["share_interval_95"][name]) for name in names
        ]
        print(f"| {row['train_days']} | {row['train_rows']:,} | {' | '.join(shares)} |", flush=True)


def _print_settings(rows: Sequence[Mapping[str, Any]]) -> None:
    print("\nplanted, horizon 12 candles, the training period of config.json")
    print("| features | parameters | model | IC | share of ceiling | net bps/day |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['features']} | {row['parameters']} | {row['model']} "
            f"| {row['ic']:.4f} +- {row['ic_error']:.4f} "
            f"| {_share(row['share_of_ceiling'], row['share_interval_95'])} "
            f"| {row['net_bps_a_day']:.0f} |",
            flush=True,
        )


def _share(share: float, interval: Sequence[float]) -> str:
    return f"{share:.1%} [{interval[0]:.1%}, {interval[1]:.1%}]"


def _print_no_alpha(rows: Sequence[Mapping[str, Any]]) -> None:
    print("\nno alpha, horizon 3 candles")
    print("| model | IC | z | gross bps/day | t | net bps/day | t |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['model']} | {row['ic']:.4f} +- {row['ic_error']:.4f} | {row['ic_z']:.1f} "
            f"| {row['gross_bps_a_day']:.0f} | {row['gross_t']:.1f} "
            f"| {row['net_bps_a_day']:.0f} | {row['net_t']:.1f} |"
        )


def _print_controls(rows: Sequence[Mapping[str, Any]]) -> None:
    print("\ncontrols, horizon 3 candles")
    print("| model | permuted labels: mean IC | spread of one | t | the label as a feature: IC |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['model']} | {row['permuted_ic']:.4f} | {row['permuted_spread']:.3f} "
            f"| {row['permuted_t']:.1f} | {row['oracle_ic']:.3f} |"
        )


if __name__ == "__main__":
    main()
