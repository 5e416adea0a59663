"""What the strategy does where nothing can be predicted, and what asking for skill changes.

The embedded market as `config.replay.json` has it, once with its planted alpha and once with
`no_alpha`; the configuration as shipped, with and without `modes.min_skill_t`. Real
`freqtrade backtesting` processes; the models are trained once a market. Writes
`benchmarks/results/no_alpha.json` and prints the table of docs/ablation.md.

    python benchmarks/no_alpha.py --seeds 7 --keep FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decisions import PAIRS, STRATEGY, Place, Variant, figures

from agent_market.evaluation import read_backtest_result
from agent_market.evaluation.summary import plain_values
from agent_market.market.replay import launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from agent_market.store import write_json

TIMERANGE, DAYS = "20250401-20250601", 151
WITHOUT = {"agent_market": {"modes": {"min_skill_t": None}}}
VARIANTS = (Variant("as shipped", STRATEGY, {}), Variant("skill not asked for", STRATEGY, WITHOUT))
_RESULT = Path(__file__).parent / "results" / "no_alpha.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="folder for what is done")
    parser.add_argument("--output", type=Path, default=_RESULT)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="no_alpha_") as own:
        for row in measure((asked.keep or Path(own)).resolve(), asked.seeds, asked.workers):
            rows.append(row)
            print(line(row), flush=True)
            write_json(asked.output, plain_values({"timerange": TIMERANGE, "rows": rows}))
    print(f"written to {asked.output}")


def measure(folder: Path, seeds: list[int], workers: int) -> Iterator[dict[str, Any]]:
    """Yield one row a market and variant."""
    for seed in seeds:
        for no_alpha in (True, False):
            place = folder / f"{seed}_{'no_alpha' if no_alpha else 'planted'}"
            settings = SimulatorSettings(
                seed=seed,
                days=DAYS,
                pairs=PAIRS,
                no_alpha=no_alpha,
                timeframes=("5m", "1h"),
                detail_days=0,
            )
            write_market(settings, place / "market")
            backtests = Place(place, place / "market", TIMERANGE, list(PAIRS), workers)
            with launch_replay(place / "market") as replay:
                for variant in VARIANTS:
                    path = backtests.backtest(variant, replay.url)
                    market = "nothing planted" if no_alpha else "planted"
                    yield {"seed": seed, "market": market, "variant": variant.name, **costs(path)}


def costs(path: Path) -> dict[str, Any]:
    """Return a backtest's figures, and its profit before costs."""
    found = figures(path)
    net = float(read_backtest_result(path, None).trades["profit_abs"].sum())
    paid = found.get("fees_paid", 0.0) + found.get("funding_paid", 0.0)
    return {**found, "net": net, "costs": paid, "before_costs": net + paid}


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    by_mode = {each["mode"]: each["trades"] for each in row["by_mode"]}
    return (
        f"| {row['seed']} | {row['market']} | {row['variant']} | {row['trades']} | "
        f"{row['before_costs']:+.0f} | {row['costs']:.0f} | {row['net']:+.0f} | "
        f"{json.dumps(by_mode)} |"
    )


if __name__ == "__main__":
    main()
