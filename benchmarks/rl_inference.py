"""Time FreqAI's inference of a policy against ours, on one PPO net and the same rows, in turns.

The net is stable-baselines3's, trained a little in our environment so that it takes all positions.
FreqAI's side is `ReinforcementLearner.rl_model_predict` as it is: one call of `predict` a row. It
asks about an account that is flat (in backtests it knows no other), so ours is asked for all three
positions, followed row by row, and FreqAI's actions are compared with our choices from flat. Ours
does three times the work of the net, and the scan. Both run on one core and are measured in CPU
time. Writes `benchmarks/results/rl_inference.json`.

    python benchmarks/rl_inference.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from freqtrade.freqai.RL.BaseReinforcementLearningModel import BaseReinforcementLearningModel

from agent_market.rl.paths import PricePath
from agent_market.rl.policies.hindsight import follow
from agent_market.rl.policies.registry import create_policy
from agent_market.store import write_json

N_ROWS, N_FEATURES, ROUNDS = 10_000, 100, 5
FLAT = 1
BUDGET_RATIO = 50.0
_RESULT = Path(__file__).parent / "results" / "rl_inference.json"


class FlatAccount:
    """Shows FreqAI's rows to the net as it was trained: standardized, and with a flat position."""

    def __init__(self, policy: Any) -> None:
        self._agent = policy._agent  # the net itself has no public name

    def predict(self, observations: pd.DataFrame, deterministic: bool) -> Any:
        """Return the action of a row, as stable-baselines3's algorithms do."""
        seen = np.append(observations.to_numpy(np.float32)[0], np.float32(0.0))
        return self._agent.predict(seen, deterministic=deterministic)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--output", type=Path, default=_RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    path = _path(asked.rows)
    policy = create_policy("ppo", {"total_steps": 40_000, "evaluations": 2, "least_valid_t": -1e9})
    policy.fit([path], cost=0.0, seed=1)
    # FreqAI scales a window of features before it predicts; ours scales within
    scaled = pd.DataFrame(policy._scaling.columns(path.features))
    host, kitchen = _host(), SimpleNamespace(label_list=["&-action"])
    model = FlatAccount(policy)

    def freqai() -> np.ndarray:
        found = BaseReinforcementLearningModel.rl_model_predict(host, scaled, kitchen, model)
        return found["&-action"].to_numpy()

    def ours() -> np.ndarray:
        choices = policy.choices(path.features)
        follow(choices, FLAT)
        return choices[:, FLAT]

    rates: dict[str, list[float]] = {"freqai": [], "ours": []}
    actions = {"freqai": freqai(), "ours": ours()}  # compiles, and fills caches
    if not np.array_equal(actions["freqai"], actions["ours"]):
        raise SystemExit(f"{(actions['freqai'] != actions['ours']).sum()} actions differ")
    counts = np.bincount(actions["ours"], minlength=3)
    for _ in range(ROUNDS):
        for name, run in (("freqai", freqai), ("ours", ours)):
            start = time.process_time()
            run()
            rates[name].append(asked.rows / (time.process_time() - start))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    ratio = statistics.median(
        mine / his for mine, his in zip(rates["ours"], rates["freqai"], strict=True)
    )
    result = {
        "what": f"rows a second of CPU time on one core: {asked.rows:,} rows of {N_FEATURES} "
        "features, one PPO net of two layers of 64; FreqAI's rl_model_predict for a flat account, "
        "ours for all three positions and followed",
        "rounds": ROUNDS,
        "rows_per_second": {name: [round(x) for x in each] for name, each in rates.items()},
        "median_rows_per_second": {name: round(each) for name, each in medians.items()},
        "times_faster_than_freqai": round(ratio, 1),
        "budget_ratio": BUDGET_RATIO,
        "identical_actions": asked.rows,
        "actions_short_flat_long": counts.tolist(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "cores": os.cpu_count(),
    }
    write_json(asked.output, result)
    for name, median in medians.items():
        print(f"{name:>8}: {median:>12,.0f} rows/s (median of {ROUNDS})")
    print(f"ours / FreqAI's: {ratio:.0f}; budget {BUDGET_RATIO:.0f}; actions {counts.tolist()}")
    print(f"written to {asked.output}")


def _host() -> Any:
    """Return what FreqAI's method reads of its model in a backtest."""
    return SimpleNamespace(live=False, rl_config={"add_state_info": False}, CONV_WIDTH=1)


def _path(n_rows: int) -> PricePath:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    moved = np.concatenate([[0.0, 0.0], 1e-3 * features[:-2, 0].astype(float)])
    prices = 100 * np.exp(np.cumsum(moved + rng.normal(0, 5e-4, n_rows)))
    return PricePath(features, prices, prices, prices, prices, np.zeros(n_rows))


if __name__ == "__main__":
    main()
