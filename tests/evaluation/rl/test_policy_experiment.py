"""Policies over windows: what they earn, beside rules, and that nothing is known ahead of time."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError
from agent_market.evaluation.rl import PolicyExperiment, run_policies, write_policy_page
from agent_market.evaluation.rl.experiment import HOLD, TREND, predicted_rows
from agent_market.evaluation.rl.logs import write_logs
from agent_market.evaluation.rl.signals import target_signals
from agent_market.evaluation.training import local_processes
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules
from tests.evaluation.rl.conftest import MakeMarket, Market, policy_spec

RULES = TradingRules(fee=0.0001)


def _experiment(*markets: Market, **changes: object) -> PolicyExperiment:
    experiment = PolicyExperiment(
        plans=[plan for plan, _ in markets],
        paths={plan.pair: path for plan, path in markets},
        policies={"exact": policy_spec()},
        seeds=(1, 2),
        rules=RULES,
        timeframe="5m",
    )
    return replace(experiment, **changes)  # type: ignore[arg-type]


def _returns(summary: dict) -> dict[str, float]:
    return {row["name"]: row["strategy"]["net"]["return_percent"] for row in summary["rows"]}


def test_that_a_policy_that_knows_the_gain_earns_it_and_rules_do_not(
    make_market: MakeMarket,
) -> None:
    experiment = _experiment(make_market(), make_market("ETH/USDT:USDT", 1))
    summary = run_policies(experiment, local_processes(1))
    earned = _returns(summary)
    assert list(earned) == ["exact", TREND, HOLD]
    assert earned["exact"] > 100 and abs(earned[TREND]) < 30 and abs(earned[HOLD]) < 30
    row = summary["rows"][0]
    assert [each["seed"] for each in row["seeds"]] == [1, 2]
    assert [each["pair"] for each in row["by_pair"]] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert row["windows_traded"] == row["n_windows"] == 2 * 2 * 5
    of_seeds = [each["strategy"]["net"]["return_percent"] for each in row["seeds"]]
    assert of_seeds[0] != of_seeds[1]
    assert earned["exact"] == pytest.approx(np.mean(of_seeds), rel=1e-3)


def test_that_a_gated_policy_on_noise_stays_flat(make_market: MakeMarket) -> None:
    spec = policy_spec(least_valid_t=1e9)
    summary = run_policies(
        _experiment(make_market(known=False), policies={"exact": spec}), local_processes(1)
    )
    row = summary["rows"][0]
    assert row["windows_traded"] == row["trades"] == 0
    assert row["strategy"]["net"]["return_percent"] == 0


def test_that_later_candles_change_no_trade_before_them(make_market: MakeMarket) -> None:
    """The leak test: prices and features after a row are exchanged for others."""
    plan, path = make_market(known=False)
    first, _ = predicted_rows(plan)
    cut = 1100
    other = np.random.default_rng(9)
    candles, values = plan.candles.copy(), np.load(plan.table.blocks[0].values)
    for name in ("open", "high", "low", "close"):
        candles.loc[cut:, name] *= np.exp(other.normal(0, 0.01, len(candles) - cut).cumsum())
    values[cut:] = other.normal(size=values[cut:].shape)
    labels = plan.labels.copy()
    labels[cut - 2 :] = other.normal(0, 0.01, labels[cut - 2 :].shape)

    curves = []
    for changed in (False, True):
        if changed:
            np.save(plan.table.blocks[0].values, values)
            plan = replace(plan, candles=candles, labels=labels)
            prices = {n: candles[n].to_numpy(float) for n in ("open", "high", "low", "close")}
            path = PricePath(values, **prices, funding_rate=path.funding_rate, dates=path.dates)
        # judged by the account up to the last candle that is the same in both
        accounts = _accounts_until(plan, path, cut)
        curves.append(accounts)
    for before, after in zip(*curves, strict=True):
        np.testing.assert_array_equal(before, after)
    assert len(curves[0][0]) == cut - first - 2 and len(np.unique(curves[0][0])) > 10


def _accounts_until(plan, path, cut):
    from agent_market.evaluation.rl import experiment as module

    experiment = _experiment((plan, path), seeds=(1,))
    found = module._train(experiment, local_processes(1), lambda *_: None, None)["exact", 1]
    flags = module.signals_of(found[0])
    own = module._account(experiment, plan, flags, RULES).equity
    (trend, rules), _ = module._baselines(experiment).values()
    ruled = module._accounts(experiment, trend, rules)[0].equity
    kept = cut - predicted_rows(plan)[0] - 2
    return own.to_numpy()[:kept], ruled.to_numpy()[:kept]


def test_that_signals_of_others_are_traded_by_the_same_account(make_market: MakeMarket) -> None:
    plan, path = make_market()
    held = target_signals(np.ones(len(plan.candles)))
    summary = run_policies(
        _experiment((plan, path), further={"theirs": {plan.pair: held}}), local_processes(1)
    )
    earned = _returns(summary)
    assert earned["theirs"] == earned[HOLD] != 0


def test_that_processes_change_no_figure(make_market: MakeMarket) -> None:
    experiment = _experiment(make_market(), seeds=(1,))
    assert run_policies(experiment, local_processes(1)) == run_policies(
        experiment, local_processes(2)
    )


def test_that_a_path_that_begins_too_late_is_refused(make_market: MakeMarket) -> None:
    plan, path = make_market()
    late = PricePath(
        *(getattr(path, n)[600:] for n in ("features", "open", "high", "low", "close")),
        funding_rate=path.funding_rate[600:],
        dates=path.dates[600:],
    )
    with pytest.raises(DataError, match="row 600 on and row 500 is predicted"):
        run_policies(_experiment((plan, late)), local_processes(1))


def test_that_nothing_to_train_is_refused(make_market: MakeMarket) -> None:
    with pytest.raises(ConfigError, match="no policy or no seed"):
        run_policies(_experiment(make_market(), seeds=()), local_processes(1))


def test_that_the_page_and_the_logs_show_every_policy_and_seed(
    make_market: MakeMarket, tmp_path: Path
) -> None:
    policies = {
        "exact": policy_spec(least_valid_t=1e9),
        "ppo": replace(
            policy_spec("PPO"),
            params={"total_steps": 2000, "evaluations": 2, "least_valid_t": -1e9},
        ),
    }
    experiment = _experiment(make_market(), seeds=(3,), policies=policies)
    summary = run_policies(experiment, local_processes(1), logs=tmp_path / "logs")
    write_logs(summary, tmp_path / "logs")
    runs = {path.parent.relative_to(tmp_path / "logs").parts[0] for path in _events(tmp_path)}
    assert {"exact_seed_3", "ppo_seed_3", "trend_rule", "buy_and_hold"} <= runs
    assert sum(name.startswith("ppo_seed_3_h2") for name in runs) == 1
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    write_policy_page(summary, {"exchange": {"secret": "a-secret"}}, tmp_path / "a.html", moment)
    page = (tmp_path / "a.html").read_text()
    for text in ("exact, seed 3", "ppo, seed 3", TREND, HOLD, "Losses in a row", "n/a"):
        assert text in page
    assert "a-secret" not in page
    write_policy_page(summary, {"exchange": {"secret": "a-secret"}}, tmp_path / "b.html", moment)
    assert (tmp_path / "b.html").read_text() == page


def _events(folder: Path) -> list[Path]:
    return list((folder / "logs").rglob("events.out.tfevents.*"))
