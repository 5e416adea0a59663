"""Measure the search over alpha expressions: speed, what it finds, and what it must not find.

- `throughput`: random expressions scored a second, on one thread and on two.
- `planted`: markets of the simulator without alpha, to whose prices a drift is added that follows a
  known expression; the share of its information coefficient that the best accepted expression has,
  on the vault, which the search never saw.
- `faint`: the same for a formula that is too weak to be told from luck.
- `no_alpha`: of a hundred markets without alpha, how many campaigns end with an expression in the
  pool.
- `agent`: the same where an agent proposes that climbs on the feedback it is given, through the
  prompts and the parser of the language model.
- `real`: a campaign on real candles, with what its vault says.

Name the parts to run; without a name, all run that need no data, for half an hour of one core.
Figures of parts and markets that are not run stay in the file. Formulas and settings were chosen on
markets of the seeds 1 and 2, the score and the niches on those of the seeds 11 and 12; no
market of seed 13 was looked at before its figures were written. Writes
`benchmarks/results/expression_search.json`. `tests/evaluation/expressions` runs parts of it;
docs/expression-search.md tells what it found.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.layout import (
    CampaignDesign,
    forward_returns,
    layout_of,
)
from agent_market.evaluation.expressions.neighborhood import Neighborhood
from agent_market.evaluation.expressions.planting import plant_expression
from agent_market.evaluation.expressions.scoring import Score
from agent_market.evaluation.expressions.search import Search, SearchSettings
from agent_market.evaluation.expressions.stage import vault_stage
from agent_market.evaluation.expressions.vault import open_vault
from agent_market.expressions import parse_expression, sample_expression
from agent_market.expressions.canonical import expression_hash
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import Panel, panel_of_candles
from agent_market.expressions.printer import format_expression
from agent_market.llm import ExpressionProposer
from agent_market.llm.forms import FIELD
from agent_market.llm.messages import Reply, Request
from agent_market.market.simulator import candles_of, simulate
from agent_market.settings import LlmSettings, SimulatorSettings
from agent_market.store import read_json, write_json
from agents.expression_agent import run_rounds
from agents.expression_campaign import CampaignJudge, load_panel

RESULT = Path(__file__).parent / "results" / "expression_search.json"
DESIGN = CampaignDesign(horizon_candles=3)
REAL_DESIGN = CampaignDesign(horizon_candles=12)
PAIRS = tuple(f"{coin}/USDT:USDT" for coin in ("BTC", "ETH", "SOL", "XRP", "LTC", "DOGE"))
TRUTH = "-demean(ts_zscore(ts_mean(close, 6), 24))"
TRUTHS = (
    TRUTH,
    "demean(ts_corr(returns, ts_rank(volume, 48), 36))",
    "-rank(delta(close, 12) / ts_std(close, 48))",
    "-ts_zscore(close / ts_mean(close, 24), 96)",
    "demean(ts_zscore(high / low, 48))",
    "-zscore(ts_decay(ts_rank(close, 24), 6))",
)
"""Each four deep; the last two were chosen before any search saw them, and never tuned on."""
FAINT_TRUTH = "ts_mean(returns, 6) * (volume / ts_mean(volume, 48))"
"""The truth itself does not pass the threshold for 20,000 trials: nothing is to be found."""
SEEDS = (11, 12, 13)
EVALUATIONS = 8_000
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
    max_evaluations: int = EVALUATIONS,
    strength: float = STRENGTH,
    threads: int = 1,
) -> dict[str, Any]:
    """Plant a formula, search, submit, open the vault; return what was found beside the truth.

    `seconds` are those of the search and of the decisions, by the clock; `cpu_seconds` are those
    that the process worked, on all threads. What was found is the first expression
    that the campaign accepted, which is its best candidate that was confirmed.
    """
    truth = parse_expression(formula)
    panel = plant_expression(market_without_alpha(seed, days), truth, strength)
    begun, worked = time.perf_counter(), time.process_time()
    campaign = Campaign(folder, panel, DESIGN, threads=threads)
    search = Search(campaign, SearchSettings(seed=seed, max_evaluations=max_evaluations))
    for _ in search.run():
        pass
    campaign.submit(campaign.candidates())
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - worked
    true_score = vault_score(panel, truth)
    result = open_vault(campaign, panel)
    best = result.expressions[0] if result.expressions else None
    found_ic = abs(best.ic) if best is not None and best.ic is not None else 0.0
    found_score = vault_score(panel, campaign.parse(best.formula)) if best is not None else None
    return {
        "seed": seed,
        "planted": formula,
        "found": best.formula if best is not None else None,
        "truth_ic_in_vault": abs(true_score.ic),
        "found_ic_in_vault": found_ic,
        "share_of_truth": found_ic / abs(true_score.ic),
        "truth_ic_error_in_vault": true_score.ic_error,
        "gls_share_of_truth": abs(found_score.gls_ic / true_score.gls_ic) if found_score else 0.0,
        "truth_t_in_vault": abs(true_score.t),
        "found_t_in_vault": abs(best.t) if best is not None and best.t is not None else 0.0,
        "pool": len(result.expressions),
        "evaluations": search.n_evaluations,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
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
        print(f"without alpha, seed {seed}: {len(campaign.pool)} in the pool", flush=True)
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


class ClimbingAgent:
    """Answers like a language model that has understood the feedback, and is lucky.

    Of the expressions that the prompt shows with their figures it takes the one with the highest
    |t|, and two more, and answers with neighbors of them.
    """

    _LINE = re.compile(r'^(.+): score -?[0-9.]+, "t value (-?[0-9.]+)"', re.MULTILINE)

    def __init__(self, campaign: Campaign, n: int) -> None:
        self._campaign, self._n = campaign, n
        self._neighborhood = Neighborhood(campaign.scope)

    def ask(self, request: Request) -> Reply:
        """Return a JSON list of formulas."""
        shown = self._LINE.findall(request.messages[-1].content)
        shown.sort(key=lambda line: -abs(float(line[1])))
        rng = np.random.default_rng(request.seed)
        near = [self._neighborhood.of(self._campaign.parse(text)) for text, _ in shown[:3]]
        known = self._campaign.trials
        new = [node for each in near for digest, node in each.items() if digest not in known]
        chosen = [new[int(k)] for k in rng.permutation(len(new))[: self._n]]
        drawn = [sample_expression(rng, self._campaign.scope, depth=4) for _ in range(self._n)]
        nodes = chosen or drawn
        text = json.dumps({FIELD: [format_expression(node) for node in nodes]})
        return Reply(text, "stop", 0, 0, 0.0)


def count_of_agent_pools(
    folder: Path, seeds: Iterable[int], n_rounds: int = 20, n: int = 20
) -> dict[str, Any]:
    """Return how many campaigns on markets without alpha end with a pool, fed by an agent."""
    settings = LlmSettings(base_url="http://nowhere", tries=1)
    kept, first, highest, by_agent, confirmed = [], [], [], 0, 0
    seeds = list(seeds)
    for seed in seeds:
        panel = market_without_alpha(seed, 45, PAIRS[:4])
        campaign = Campaign(folder / f"seed-{seed}", panel, DESIGN)
        scope, agent = campaign.scope, ClimbingAgent(campaign, n)
        proposer = ExpressionProposer(agent.ask, settings, scope, n=n, seed=seed)
        judge = CampaignJudge(campaign)
        run = run_rounds(proposer, judge, scope, n_rounds=n_rounds, n=n, seed=seed)
        origins = [entry["origin"] for each in run.rounds for entry in each.expressions]
        by_agent += origins.count("model")
        tried = [abs(trial.score.t) for trial in campaign.trials.values()]
        first.append(np.nanmax(tried[:n]))
        highest.append(np.nanmax(tried))
        confirmed += sum(each.used_a_confirmation for each in campaign.decisions.values())
        if run.pool:
            kept.append(seed)
    return {
        "seeds": len(seeds),
        "evaluations_each": n_rounds * n,
        "proposed_by_agent": by_agent / (len(seeds) * n_rounds * n),
        "median_of_highest_t_in_first_round": float(np.median(first)),
        "median_of_highest_t": float(np.median(highest)),
        "confirmations": confirmed,
        "not_empty": len(kept),
        "seeds_not_empty": kept,
    }


def real_campaign(
    folder: Path, datadir: Path, *, max_evaluations: int = 3_000, threads: int = 2
) -> dict[str, Any]:
    """Search on stored 5-minute candles of a spot folder; return what the vault says, as it is."""
    pairs = sorted(
        path.name.split("-")[0].replace("_", "/") for path in datadir.glob("*-5m.feather")
    )
    panel = load_panel(datadir, pairs, "5m", "spot")
    begun = time.perf_counter()
    campaign = Campaign(folder, panel, REAL_DESIGN, threads=threads)
    search = Search(campaign, SearchSettings(seed=7, max_evaluations=max_evaluations))
    for _ in search.run():
        pass
    decisions = campaign.submit(campaign.candidates())
    seconds = time.perf_counter() - begun
    result = open_vault(campaign, panel)
    return {
        "pairs": pairs,
        "rows": panel.shape[1],
        "horizon_candles": REAL_DESIGN.horizon_candles,
        "trials": len(campaign.trials),
        "highest_t": float(np.nanmax([abs(each.score.t) for each in campaign.trials.values()])),
        "t_threshold": campaign.t_threshold,
        "decisions": dict(Counter(each.reason for each in decisions)),
        "accepted": [accepted.model_dump() for accepted in campaign.accepted().expressions],
        "vault": result.model_dump(),
        "intervals": [interval(each.ic, each.ic_error) for each in result.expressions],
        "pooled_interval": interval(result.pooled_ic, result.pooled_ic_error),
        "seconds": seconds,
    }


def interval(ic: float | None, error: float | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a coefficient."""
    if ic is None or error is None:
        return None
    return ic - 1.96 * error, ic + 1.96 * error


def planted_searches(folder: Path, seeds: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Yield the searches of all formulas on the markets of the seeds, failures included."""
    for seed, formula in product(seeds, TRUTHS):
        name = f"{seed}-{expression_hash(parse_expression(formula))[:8]}"
        each = planted_search(folder / name, seed=seed, formula=formula, threads=2)
        print(
            f"planted {formula}, seed {seed}: {each['share_of_truth']:.0%} of its coefficient "
            f"({each['found_ic_in_vault']:.4f} of {each['truth_ic_in_vault']:.4f} in the vault; by "
            f"generalized least squares {each['gls_share_of_truth']:.0%}), "
            f"{each['seconds']:.0f} s ({each['cpu_seconds']:.0f} s of CPU), "
            f"{each['evaluations']:,} evaluations: {each['found']}",
            flush=True,
        )
        yield each


PARTS: dict[str, Callable[[Path], Any]] = {
    "throughput": lambda folder: [throughput(folder / f"threads-{n}", n) for n in (1, 2)],
    "no_alpha": lambda folder: count_of_pools(folder / "none", range(100)),
    "faint": lambda folder: planted_search(folder / "faint", seed=SEEDS[0], formula=FAINT_TRUTH),
    "agent": lambda folder: count_of_agent_pools(folder / "agent", range(20)),
}


def main() -> None:
    """Run the parts, print their figures, write them beside those of the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of planted, {', '.join(PARTS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of planted markets")
    parser.add_argument("--real", type=Path, help="search the spot candles of this folder, too")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    chosen = options.parts or ([] if options.real else [*PARTS, "planted"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.real is not None:
            figures = real_campaign(folder / "real", options.real)
            write_figures(options.output, {"real": figures})
        for part in chosen:
            if part == "planted":
                for each in planted_searches(folder, options.seeds):
                    planted = f"{each['planted']}, seed {each['seed']}"
                    write_figures(options.output, {"planted": {planted: each}})
            else:
                write_figures(options.output, {part: PARTS[part](folder)})


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Print figures and write them beside those that the file holds of other parts and markets."""
    print(json.dumps(figures, indent=1), flush=True)
    result = read_json(path) if path.exists() else {}
    planted = {**result.get("planted", {}), **figures.get("planted", {})}
    machine = platform.processor() or platform.machine()
    write_json(path, {**result, **figures, "planted": planted, "machine": machine})


if __name__ == "__main__":
    main()
