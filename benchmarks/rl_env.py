"""Time the trading environment against FreqAI's own, with the same features, in turns.

Ours: 1,024 accounts a step, FreqAI's five actions, episodes of 256 rows that start again by
themselves. FreqAI's: the `MyRLEnv` of its `ReinforcementLearner`, which trains one environment in
its process, stepped from end to end of the same candles and reset. Random actions, drawn before.
Both run on one core and are measured in CPU time. Writes `benchmarks/results/rl_env.json`.
"""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.freqai.prediction_models.ReinforcementLearner import ReinforcementLearner

from agent_market.rl.env import TradingEnv, VectorTradingEnv, five_actions
from agent_market.rl.env.sb3 import TradingVecEnv
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules
from agent_market.store import write_json

N_ENVS, N_FEATURES, N_ROWS, EPISODE_ROWS = 1024, 100, 50_000, 256
N_VECTOR_STEPS, N_STEPS, ROUNDS = 400, 3_000, 7
BUDGET_STEPS_PER_SECOND, BUDGET_RATIO = 1e6, 60.0
_FEE = 0.0005
_RESULT = Path(__file__).parent / "results" / "rl_env.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=_RESULT)
    output = parser.parse_args().output
    logging.disable(logging.WARNING)
    path = _path()
    sides = _sides(path)
    for run in sides.values():
        run()  # compiles, and fills caches
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, run in sides.items():
            start = time.process_time()
            n_steps = run()
            rates[name].append(n_steps / (time.process_time() - start))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    ratio = statistics.median(
        ours / freqai for ours, freqai in zip(rates["ours"], rates["freqai"], strict=True)
    )
    result = {
        "what": f"environment steps a second of CPU time on one core: {N_FEATURES} features, five "
        f"actions, episodes of {EPISODE_ROWS} rows; ours with {N_ENVS} accounts, also through "
        "stable-baselines3's VecEnv and one by one through Gymnasium; FreqAI's MyRLEnv",
        "rounds": ROUNDS,
        "steps_per_second": {n: [round(each) for each in values] for n, values in rates.items()},
        "median_steps_per_second": {name: round(each) for name, each in medians.items()},
        "times_faster_than_freqai": round(ratio, 1),
        "budget_steps_per_second": BUDGET_STEPS_PER_SECOND,
        "budget_ratio": BUDGET_RATIO,
        "cores": os.cpu_count(),
    }
    write_json(output, result)
    for name, median in medians.items():
        print(f"{name:>12}: {median:>12,.0f} steps/s (median of {ROUNDS})")
    print(
        f"ours / FreqAI's: {ratio:.0f}; budget {BUDGET_RATIO:.0f}, {BUDGET_STEPS_PER_SECOND:,.0f}"
    )
    print(f"written to {output}")


def _sides(path: PricePath) -> dict[str, Callable[[], int]]:
    rng = np.random.default_rng(1)
    many = rng.integers(0, 5, (N_VECTOR_STEPS, N_ENVS))
    few = [int(action) for action in rng.integers(0, 5, N_STEPS)]
    rules = TradingRules(fee=_FEE, stoploss=-0.05, minimal_roi={0: 0.05}, maintenance_margin=0.004)
    options: dict[str, Any] = {"actions": five_actions(), "episode_rows": EPISODE_ROWS}
    vector = VectorTradingEnv(path, rules, N_ENVS, **options)
    wrapped = TradingVecEnv(VectorTradingEnv(path, rules, N_ENVS, **options))
    wrapped.reset()
    single = TradingEnv(path, rules, **options)
    freqai = _freqai(path)

    def ours() -> int:
        for actions in many:
            vector.step(actions)
        return many.size

    def ours_sb3() -> int:
        for actions in many:
            wrapped.step(actions)
        return many.size

    return {
        "ours": ours,
        "ours_sb3": ours_sb3,
        "ours_single": lambda: _walk(single, few),
        "freqai": lambda: _walk(freqai, few),
    }


def _walk(env: Any, actions: list[int]) -> int:
    env.reset()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return len(actions)


def _freqai(path: PricePath) -> Any:
    """Return FreqAI's environment over the same candles and features."""
    rows = slice(0, EPISODE_ROWS + 2)  # an episode of its own is the whole frame
    frame = pd.DataFrame(path.features[rows], columns=[f"%-{n}" for n in range(N_FEATURES)])
    prices = pd.DataFrame(
        {name: getattr(path, name)[rows] for name in ("open", "high", "low", "close")}
    )
    return ReinforcementLearner.MyRLEnv(
        df=frame,
        prices=prices,
        reward_kwargs={"rr": 1, "profit_aim": 0.025, "win_reward_factor": 2},
        window_size=1,
        config={
            "stake_amount": "unlimited",
            "timeframe": "5m",
            "freqai": {
                "rl_config": {
                    "max_trade_duration_candles": 300,
                    "model_reward_parameters": {"rr": 1, "profit_aim": 0.025},
                }
            },
        },
        fee=_FEE,
        can_short=True,
        pair="BTC/USDT:USDT",
        df_raw=frame,
    )


def _path() -> PricePath:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, N_ROWS)))
    first = np.concatenate([[100.0], close[:-1]])
    wick = 1 + np.abs(rng.normal(0, 5e-4, (2, N_ROWS)))
    return PricePath(
        features=rng.normal(size=(N_ROWS, N_FEATURES)).astype(np.float32),
        open=first,
        high=np.maximum(first, close) * wick[0],
        low=np.minimum(first, close) / wick[1],
        close=close,
        funding_rate=np.where(np.arange(N_ROWS) % 96 == 0, 1e-4, 0.0),
    )


if __name__ == "__main__":
    main()
