"""Train every policy on markets whose truth is known, and write what each one earned.

Oracle: one feature is the return to come; the share of the hindsight optimum of later rows is
written. No alpha: the simulator without any; t value and exposure of later rows are written, with
and without the gate that keeps a policy flat. Net returns on a constant stake, 5 basis points a
side. Policies that are asked for are added to the file, so that they can be run one after another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # for the markets, which are the tests'

import numpy as np

from agent_market.rl.policies.ground import t_value
from agent_market.rl.policies.registry import POLICIES
from agent_market.store import write_json
from tests.rl.policies.known_truth import (
    earned,
    policy_without_alpha,
    share_with_leaked_return,
)

BLOCK = 128
_RESULT = Path(__file__).parent / "results" / "rl_known_truth.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policies", nargs="*", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--only", choices=["oracle", "no_alpha"], help="one of the two")
    parser.add_argument("--seeds", type=int, default=3, help="markets without alpha")
    parser.add_argument("--output", type=Path, default=_RESULT)
    asked = parser.parse_args()
    report = json.loads(asked.output.read_text()) if asked.output.is_file() else {}
    for name in asked.policies:
        for kind, measure in {"oracle": oracle, "no_alpha": without_alpha}.items():
            if asked.only in (None, kind):
                report.setdefault(kind, {})[name] = measure(name, asked.seeds)
                print(f"{kind} {name}: {report[kind][name]}", flush=True)
                write_json(asked.output, report)
    print(f"written to {asked.output}")


def oracle(name: str, _: int) -> dict[str, Any]:
    """Return the share of the hindsight optimum, and the time of the training."""
    cpu = time.process_time()
    share = share_with_leaked_return(name)
    return {
        "share_of_hindsight": round(share, 4),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def without_alpha(name: str, n_seeds: int) -> dict[str, Any]:
    """Return t values and exposure of each market, and of all together."""
    cpu = time.process_time()
    gains: dict[str, list[Any]] = {"as_is": [], "without_gate": []}
    exposures, n_flat = [], 0
    for seed in range(1, n_seeds + 1):
        policy, test = policy_without_alpha(name, seed)
        n_flat += policy.stays_flat
        exposures.append(np.abs(policy.positions_of(test.features)).mean())
        gains["as_is"].append(earned(policy, test))
        policy.stays_flat = False
        gains["without_gate"].append(earned(policy, test))
    return {
        "markets": n_seeds,
        "markets_flat": n_flat,
        "exposure": round(float(np.mean(exposures)), 4),
        **{
            f"t_{kind}": [round(t_value(each, BLOCK), 2) for each in found]
            for kind, found in gains.items()
        },
        **{
            f"t_{kind}_of_all": round(t_value(np.concatenate(found), BLOCK), 2)
            for kind, found in gains.items()
        },
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


if __name__ == "__main__":
    main()
