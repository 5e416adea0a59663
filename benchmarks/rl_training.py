"""Train the exact policy and FreqAI's PPO on one planted market; compare net return and time.

Both get the same features, rows, costs and one thread. FreqAI's side is its `ReinforcementLearner`:
`Base5ActionRLEnv`, PPO of stable-baselines3 with the net, the callback and the settings of its
documentation, `train_cycles` passes over the training rows, the best model by its own evaluation.
It runs with the reward it ships, which is an example, and with net profit as the reward, which is
what a user who wants profit would write; the latter also with FreqAI's own default of
`max_training_drawdown_pct`: the documentation's 0.02 ends an episode at a loss of 2 %, and every
episode starts at the first row, so that later rows are hardly seen.

Returns are of the test rows, on a constant stake, filled at the next open, after costs. Beside its
whole training, the exact policy is trained as one member for 1, 2, 4 ... epochs, each a training of
its own: the first of them that earns what FreqAI's model earns in the end says how long reaching it
takes. The budget is a twentieth of FreqAI's wall time.

Writes `benchmarks/results/rl_training.json`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the market, which is the tests'

import numpy as np
import pandas as pd
import torch
from freqtrade.freqai.prediction_models.ReinforcementLearner import ReinforcementLearner
from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback
from sklearn.preprocessing import MinMaxScaler
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

from agent_market.rl.paths import PricePath
from agent_market.rl.policies.hindsight import follow, optimum
from agent_market.rl.policies.problem import TradingProblem, net_gains
from agent_market.rl.policies.registry import create_policy
from agent_market.store import write_json
from tests.rl.policies.markets import COST, KnownMarket, planted_market, rows_of_path

POSITIONS = np.array([-1.0, 0.0, 1.0])
FLAT = 1
BUDGET_SHARE_OF_TIME = 1 / 20
# Freqtrade's documentation, "Reinforcement learning"; `add_state_info` is refused in backtests
RL_CONFIG = {
    "add_state_info": False,
    "max_trade_duration_candles": 300,
    "model_reward_parameters": {"rr": 1, "profit_aim": 0.025},
}
MODEL_PARAMETERS = {"learning_rate": 0.00025, "gamma": 0.9, "verbose": 0}
DOCUMENTED_DRAWDOWN, DEFAULT_DRAWDOWN = 0.02, 0.8
VALID_SHARE = 0.2
EPOCHS = (1, 2, 4, 8, 16, 32)
_RESULT = Path(__file__).parent / "results" / "rl_training.json"


class ShippedReward(ReinforcementLearner.MyRLEnv):
    """FreqAI's environment as it comes."""


class NetProfitReward(ReinforcementLearner.MyRLEnv):
    """FreqAI's environment, paid by the change of its own net balance, in percent."""

    def reset(self, seed: int | None = None) -> Any:
        """Start an episode."""
        self._balance = 1.0
        return super().reset(seed)

    def calculate_reward(self, action: int) -> float:
        """Return what the balance, fees of both sides included, has gained since the last step."""
        balance = self._total_profit + self.get_unrealized_profit()
        gained, self._balance = balance - self._balance, balance
        return 100 * gained


RIVALS = {
    "net profit, default drawdown": (NetProfitReward, DEFAULT_DRAWDOWN),
    "net profit, documented drawdown": (NetProfitReward, DOCUMENTED_DRAWDOWN),
    "as shipped, documented drawdown": (ShippedReward, DOCUMENTED_DRAWDOWN),
}


class Watch(BaseCallback):
    """Notes the clock and the test return after every so many steps; its own time is left out."""

    def __init__(self, every: int, measure: Any) -> None:
        super().__init__()
        self.every, self.measure = every, measure
        self.curve: list[dict[str, float]] = []
        self._start = np.array([time.perf_counter(), time.process_time()])
        self.spent = np.zeros(2)

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0:
            now = np.array([time.perf_counter(), time.process_time()])
            wall, cpu = now - self._start - self.spent
            self.curve.append(_point(wall, cpu, self.measure(self.model), self.num_timesteps))
            self.spent += np.array([time.perf_counter(), time.process_time()]) - now
        return True


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-rows", type=int, default=12_000)
    parser.add_argument("--test-rows", type=int, default=6_000)
    parser.add_argument("--train-cycles", type=int, default=25, help="FreqAI's; documented: 25")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rivals", nargs="+", choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument("--output", type=Path, default=_RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    market = planted_market(asked.seed, asked.train_rows + asked.test_rows)
    train = rows_of_path(market.path, 0, asked.train_rows)
    test = rows_of_path(market.path, asked.train_rows, len(market.path))
    warm = create_policy("exact", {"members": 1, "max_epochs": 1})
    warm.fit([rows_of_path(train, 0, 1_000)], cost=COST)  # compiled code, as in a live bot
    ours = train_exact(train, test, {})
    print(f"exact policy: {ours}", flush=True)
    early = [train_exact(train, test, {"members": 1, "max_epochs": n}) for n in EPOCHS]
    rivals = {}
    for name in asked.rivals:
        kind, drawdown = RIVALS[name]
        rivals[name] = train_freqai(kind, drawdown, train, test, asked)
        print(f"FreqAI PPO, reward {name}: {rivals[name][-1]}", flush=True)
        print(f"reached by the exact policy: {reached(early, rivals[name][-1])}", flush=True)
        write_json(asked.output, report(market, test, asked, ours, early, rivals))
    print(f"written to {asked.output}")


def report(
    market: KnownMarket,
    test: PricePath,
    asked: argparse.Namespace,
    ours: dict[str, float],
    early: list[dict[str, float]],
    rivals: dict[str, list[dict[str, float]]],
) -> dict[str, Any]:
    """Return returns, times and ratios."""
    problem = TradingProblem.of(test, POSITIONS, COST)
    drift = np.outer(market.drift[asked.train_rows : -2], POSITIONS)
    finals = {name: curve[-1] for name, curve in rivals.items()}
    return {
        "what": f"planted market of 10 features, {asked.train_rows:,} rows to train on, "
        f"{asked.test_rows:,} to test, {1e4 * COST:g} bps a side, one thread",
        "budget_share_of_time": BUDGET_SHARE_OF_TIME,
        "train_cycles": asked.train_cycles,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "test_return_of_known_drift": round(optimum(problem, drift, start=FLAT), 3),
        "exact": ours,
        "exact_for_few_epochs": dict(zip(map(str, EPOCHS), early, strict=True)),
        "time_to_reach_freqai": {name: reached(early, final) for name, final in finals.items()},
        "freqai_ppo": finals,
        "share_of_freqai_wall_time": {
            name: round(ours["wall_seconds"] / final["wall_seconds"], 4)
            for name, final in finals.items()
        },
        "share_of_freqai_cpu_time": {
            name: round(ours["cpu_seconds"] / final["cpu_seconds"], 4)
            for name, final in finals.items()
        },
        "reaches_freqai_return": {
            name: ours["test_return"] >= max(point["test_return"] for point in curve)
            for name, curve in rivals.items()
        },
        "freqai_curve": rivals,
    }


def reached(early: list[dict[str, float]], final: dict[str, float]) -> dict[str, float] | None:
    """Return the first short training that earns what FreqAI's ended with, None for none."""
    for n_epochs, point in zip(EPOCHS, early, strict=True):
        if point["test_return"] >= final["test_return"]:
            return {
                "epochs": n_epochs,
                **point,
                "share_of_wall_time": round(point["wall_seconds"] / final["wall_seconds"], 5),
                "share_of_cpu_time": round(point["cpu_seconds"] / final["cpu_seconds"], 5),
            }
    return None


def train_exact(train: PricePath, test: PricePath, settings: dict[str, Any]) -> dict[str, float]:
    """Return time and test return of the exact policy."""
    policy = create_policy("exact", {"valid_share": VALID_SHARE, **settings})
    wall, cpu = time.perf_counter(), time.process_time()
    policy.fit([train], cost=COST)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    chosen = np.searchsorted(POSITIONS, policy.positions_of(test.features))
    return _point(wall, cpu, net_return(test, chosen), 0)


def train_freqai(
    kind: type[Any], drawdown: float, train: PricePath, test: PricePath, asked: argparse.Namespace
) -> list[dict[str, float]]:
    """Return the curve of FreqAI's training; its last point is the model that FreqAI keeps."""
    n_rows = round((1 - VALID_SHARE) * len(train))
    scaler = MinMaxScaler((-1, 1)).fit(train.features[:n_rows])
    env = _environment(kind, drawdown, rows_of_path(train, 0, n_rows), scaler)
    held_out = _environment(kind, drawdown, rows_of_path(train, n_rows, len(train)), scaler)

    def measure(model: Any) -> float:
        actions, _ = model.predict(_scaled(test, scaler).to_numpy()[:, None, :], deterministic=True)
        return net_return(test, positions_of_actions(actions))

    folder = Path(tempfile.mkdtemp())
    best = MaskableEvalCallback(
        Monitor(held_out),
        deterministic=True,
        render=False,
        eval_freq=n_rows,
        best_model_save_path=str(folder),
        use_masking=False,
        verbose=0,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    model = PPO(
        "MlpPolicy",
        env,
        policy_kwargs={"activation_fn": torch.nn.ReLU, "net_arch": [128, 128]},
        seed=asked.seed,
        device="cpu",
        **MODEL_PARAMETERS,
    )
    watch = Watch(n_rows, measure)
    model.learn(total_timesteps=asked.train_cycles * n_rows, callback=[best, watch])
    wall = time.perf_counter() - wall - watch.spent[0]
    cpu = time.process_time() - cpu - watch.spent[1]
    kept = PPO.load(folder / "best_model") if (folder / "best_model.zip").is_file() else model
    return [*watch.curve, _point(wall, cpu, measure(kept), model.num_timesteps)]


def _environment(kind: type[Any], drawdown: float, path: PricePath, scaler: MinMaxScaler) -> Any:
    features = _scaled(path, scaler)
    rl_config = RL_CONFIG | {"max_training_drawdown_pct": drawdown}
    prices = pd.DataFrame(
        {"open": path.open, "high": path.high, "low": path.low, "close": path.close}
    )
    return kind(
        df=features,
        prices=prices,
        window_size=1,
        reward_kwargs=RL_CONFIG["model_reward_parameters"],
        config={"freqai": {"rl_config": rl_config}, "stake_amount": 100, "fee": COST},
        live=False,
        can_short=True,
        pair="PLANTED/USDT",
        df_raw=features,
    )


def _scaled(path: PricePath, scaler: MinMaxScaler) -> pd.DataFrame:
    return pd.DataFrame(np.clip(scaler.transform(path.features), -1, 1).astype(np.float32))


def positions_of_actions(actions: np.ndarray) -> np.ndarray:
    """Return the positions that FreqAI's five actions lead through, from flat, as indices."""
    choices = np.tile(np.arange(3), (len(actions), 1))
    choices[actions == 1, FLAT] = 2
    choices[actions == 3, FLAT] = 0
    choices[actions == 2, 2] = FLAT
    choices[actions == 4, 0] = FLAT
    return np.asarray(follow(choices, FLAT))


def net_return(test: PricePath, chosen: np.ndarray) -> float:
    """Return the sum of the test rows' net returns."""
    problem = TradingProblem.of(test, POSITIONS, COST)
    return float(net_gains(problem, chosen[: len(problem)], FLAT).sum())


def _point(wall: float, cpu: float, net: float, steps: int) -> dict[str, float]:
    return {
        "wall_seconds": round(float(wall), 2),
        "cpu_seconds": round(float(cpu), 2),
        "test_return": round(float(net), 3),
        "steps": steps,
    }


if __name__ == "__main__":
    main()
