"""Measure the search over alpha expressions: speed, what it finds, and what it must not find.

- Throughput: random expressions scored a second, on one thread and on two.
- Planted formulas: markets of the simulator without alpha, to whose prices a drift is added that
  follows a known expression; the share of its information coefficient that the best accepted
  expression has, on the vault, which the search never saw.
- Markets without alpha: how many of a hundred campaigns end with an expression in the pool.

Writes `benchmarks/results/expression_search.json`. `tests/evaluation/expressions` runs parts of it;
docs/expression-search.md tells what it found.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.layout import (
    CampaignDesign,
    forward_returns,
    layout_of,
)
from agent_market.evaluation.expressions.planting import plant_expression
from agent_market.evaluation.expressions.scoring import Score
from agent_market.evaluation.expressions.search import Search, SearchSettings
from agent_market.evaluation.expressions.stage import vault_stage
from agent_market.evaluation.expressions.vault import open_vault
from agent_market.expressions import parse_expression, sample_expression
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import Panel, panel_of_candles
from agent_market.market.simulator import candles_of, simulate
from agent_market.settings import SimulatorSettings
from agent_market.store import write_json

RESULT = Path(__file__).parent / "results" / "expression_search.json"
DESIGN = CampaignDesign(horizon_candles=3)
PAIRS = tuple(f"{coin}/USDT:USDT" for coin in ("BTC", "ETH", "SOL", "XRP", "LTC", "DOGE"))
TRUTH = "-demean(ts_zscore(ts_mean(close, 6), 24))"
OTHER_TRUTHS = (
    "demean(ts_corr(returns, ts_rank(volume, 48), 36))",
    "-rank(delta(close, 12) / ts_std(close, 48))",
    "ts_mean(returns, 6) * (volume / ts_mean(volume, 48))",
    "-ts_zscore(close / ts_mean(close, 24), 96)",
)
DAYS = 120
STRENGTH = 0.04


def market_without_alpha(seed: int, days: int, pairs: tuple[str, ...] = PAIRS) -> Panel:
    """Return 5-minute candles of the simulator with nothing planted."""
    market = simulate(SimulatorSettings(seed=seed, days=days, pairs=pairs, no_alpha=True))
    return panel_of_candles(
        {name: candles_of(pair, "5m") for name, pair in market.pairs.items()}, "5m"
    )


def planted_search(
    folder: Path,
    *,
    seed: int,
    formula: str = TRUTH,
    days: int = DAYS,
    max_evaluations: int = 20_000,
    strength: float = STRENGTH,
    threads: int = 1,
) -> dict[str, Any]:
    """Plant a formula, search, submit, open the vault; return what was found beside the truth.

    `seconds` are those of the search and of the decisions. What was found is the first expression
    that the campaign accepted, which is its best candidate that was confirmed.
    """
    truth = parse_expression(formula)
    panel = plant_expression(market_without_alpha(seed, days), truth, strength)
    begun = time.perf_counter()
    campaign = Campaign(folder, panel, DESIGN, threads=threads)
    search = Search(campaign, SearchSettings(seed=seed, max_evaluations=max_evaluations))
    for _ in search.run():
        pass
    campaign.submit(campaign.candidates())
    seconds = time.perf_counter() - begun
    true_score = vault_score(panel, truth)
    result = open_vault(campaign, panel)
    best = result.expressions[0] if result.expressions else None
    found_ic = abs(best.ic) if best is not None and best.ic is not None else 0.0
    return {
        "seed": seed,
        "planted": formula,
        "found": best.formula if best is not None else None,
        "truth_ic_in_vault": abs(true_score.ic),
        "found_ic_in_vault": found_ic,
        "share_of_truth": found_ic / abs(true_score.ic),
        "truth_t_in_vault": abs(true_score.t),
        "found_t_in_vault": abs(best.t) if best is not None and best.t is not None else 0.0,
        "pool": len(result.expressions),
        "evaluations": search.n_evaluations,
        "seconds": seconds,
        "threads": threads,
        "pair_candles": int(np.prod(panel.shape)),
    }


def vault_score(panel: Panel, node: Node) -> Score:
    """Return the score of an expression on the rows that a campaign would seal."""
    labels = forward_returns(panel, DESIGN.horizon_candles)
    layout = layout_of(panel.shape[1], panel.timeframe, DESIGN)
    return next(vault_stage(panel, labels, layout, DESIGN).scores([node]))


def count_of_pools(
    folder: Path, seeds: Iterable[int], max_evaluations: int = 1000, days: int = 45
) -> dict[str, Any]:
    """Return how many campaigns on markets without alpha end with a pool that is not empty.

    The searches submit whatever passes the threshold for their trials.
    """
    begun = time.perf_counter()
    kept, passed, confirmed = [], 0, 0
    seeds = list(seeds)
    for seed in seeds:
        panel = market_without_alpha(seed, days, PAIRS[:4])
        campaign = Campaign(folder / f"seed-{seed}", panel, DESIGN)
        settings = SearchSettings(
            seed=seed, max_evaluations=max_evaluations, n_islands=2, island_size=50
        )
        for _ in Search(campaign, settings).run():
            pass
        decisions = campaign.submit(campaign.candidates())
        passed += bool(decisions)
        confirmed += sum(each.used_a_confirmation for each in decisions)
        if campaign.pool:
            kept.append(seed)
    return {
        "seeds": len(seeds),
        "evaluations_each": max_evaluations,
        "passed_the_search_threshold": passed,
        "confirmations": confirmed,
        "not_empty": len(kept),
        "seeds_not_empty": kept,
        "seconds": time.perf_counter() - begun,
    }


def throughput(folder: Path, threads: int, n_expressions: int = 1000) -> dict[str, Any]:
    """Return how many random expressions are scored a second, the first batch left out."""
    panel = market_without_alpha(1, DAYS)
    campaign = Campaign(folder, panel, DESIGN, threads=threads)
    rng = np.random.default_rng(1)
    nodes = [sample_expression(rng, campaign.scope, depth=4) for _ in range(2 * n_expressions)]
    campaign.score(nodes[:n_expressions])  # compiles and warms up
    before = len(campaign.trials)
    begun = time.perf_counter()
    campaign.score(nodes[n_expressions:])
    seconds = time.perf_counter() - begun
    rows = layout_of(panel.shape[1], panel.timeframe, DESIGN).search.stop * panel.shape[0]
    return {
        "threads": threads,
        "expressions_per_second": (len(campaign.trials) - before) / seconds,
        "pair_candles": rows,
    }


def main() -> None:
    """Run everything, print a line each, write the result."""
    result: dict[str, Any] = {"machine": platform.processor() or platform.machine()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result["throughput"] = [throughput(folder / f"t{n}", n) for n in (1, 2)]
        for each in result["throughput"]:
            print(
                f"{each['expressions_per_second']:.0f} expressions/s on {each['pair_candles']:,} "
                f"pair-candles, {each['threads']} thread(s)"
            )
        result["planted"] = [
            _printed(planted_search(folder / f"p{k}", seed=seed, formula=formula, threads=2))
            for k, (seed, formula) in enumerate(
                [(1, TRUTH), (2, TRUTH), (3, TRUTH), *((1, each) for each in OTHER_TRUTHS)]
            )
        ]
        result["no_alpha"] = count_of_pools(folder / "none", range(100))
    found = result["no_alpha"]
    print(
        f"without alpha: {found['not_empty']} of {found['seeds']} pools are not empty "
        f"({found['passed_the_search_threshold']} searches passed their threshold, "
        f"{found['confirmations']} candidates were tried on the confirmation rows)"
    )
    write_json(RESULT, result)


def _printed(found: dict[str, Any]) -> dict[str, Any]:
    print(
        f"planted {found['planted']}: {found['share_of_truth']:.0%} of its coefficient "
        f"({found['found_ic_in_vault']:.4f} of {found['truth_ic_in_vault']:.4f} in the vault) in "
        f"{found['seconds']:.0f} s and {found['evaluations']:,} evaluations: {found['found']}",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
