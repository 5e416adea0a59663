#!/usr/bin/env python
"""Log a behavior over a strategy's candles and features as a buffer to learn from offline.

What was seen, held, asked for and earned, row by row, by the accounting of the trading environment:
of a behavior by name, or of real trades from a backtest result or a bot's database.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from freqtrade.exceptions import OperationalException

from agent_market.bridge import load_plans, read_config
from agent_market.bridge.trade_positions import price_path, read_trades, trading_rules
from agent_market.errors import ConfigError
from agent_market.flow.command_line import run
from agent_market.flow.options import (
    ConfigOption,
    DatadirOption,
    FreqaimodelOption,
    StrategyOption,
    TimerangeOption,
    UserdirOption,
)
from agent_market.learning.window_plan import PairPlan
from agent_market.rl.offline.behavior import (
    Targets,
    explored,
    hindsight_targets,
    random_targets,
    trend_targets,
)
from agent_market.rl.offline.buffer import BufferHeader, TransitionBuffer
from agent_market.rl.offline.files import write_buffer
from agent_market.rl.offline.recording import header_for, record
from agent_market.rl.offline.trades import trade_targets
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.rules import TradingRules

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Behavior(StrEnum):
    """What chooses the actions."""

    RANDOM = "random"
    TREND = "trend"
    HINDSIGHT = "hindsight"
    TRADES = "trades"


@app.command()
def export(
    output: Annotated[
        list[Path], typer.Option("-o", "--output", help="File, .parquet or .jsonl; repeatable.")
    ],
    config: ConfigOption = None,
    timerange: TimerangeOption = None,
    datadir: DatadirOption = None,
    userdir: UserdirOption = None,
    strategy: StrategyOption = None,
    freqaimodel: FreqaimodelOption = None,
    behavior: Annotated[
        Behavior, typer.Option(help="What chooses; hindsight knows the future: to imitate only.")
    ] = Behavior.RANDOM,
    trades: Annotated[
        Path | None,
        typer.Option(help="Backtest result (.zip) or database (.sqlite), with behavior trades."),
    ] = None,
    explore: Annotated[
        float, typer.Option(help="Share of rows on which chance chooses instead.", min=0, max=1)
    ] = 0.0,
    fee: Annotated[float, typer.Option(help="Of one side, share of the value.", min=0)] = 0.0005,
    slippage_bps: Annotated[float, typer.Option(help="Added to the fee.", min=0)] = 0.0,
    leverage: Annotated[
        float | None, typer.Option(help="Of every trade. [most trades' own, else 1]", min=1)
    ] = None,
    episode_rows: Annotated[int, typer.Option(help="Rows of an episode.", min=2)] = 1000,
    seed: Annotated[int, typer.Option(help="Of chance.")] = 0,
) -> None:
    """Write one buffer of all pairs of the configuration, in one or both formats."""
    if (behavior is Behavior.TRADES) != (trades is not None):
        raise ConfigError("--trades and --behavior trades belong together. Give both, or neither.")
    settings = read_config(
        config or [Path("config.json")],
        {
            "timerange": timerange,
            "datadir": datadir,
            "user_data_dir": userdir,
            "strategy": strategy,
            "freqaimodel": freqaimodel,
        },
    )
    logging.getLogger("freqtrade").setLevel(logging.WARNING)
    held = None if trades is None else read_trades(trades, settings.get("strategy"))
    if leverage is None:
        leverage = 1.0 if held is None or held.empty else float(held["leverage"].mode()[0])
    rules = trading_rules(settings, fee=fee, slippage=slippage_bps / 1e4, leverage=leverage)
    # names alike for all pairs, for one policy learns from them all
    (plans,) = load_plans(settings, panel=True).values()
    header = header_for(
        tuple(plan.pair for plan in plans),
        tuple(plans[0].table.names),
        (-1.0, 0.0, 1.0) if rules.can_short else (0.0, 1.0),
        rules,
        timeframe=settings["timeframe"],
        behavior=f"{behavior}{f' with {explore:g} explored' if explore else ''}",
        knows_future=behavior is Behavior.HINDSIGHT,
    )
    grid = np.array(header.positions)
    for path in output:
        count = _Count()
        parts = _episodes(
            settings,
            plans,
            header,
            rules,
            episode_rows,
            lambda plan, candles: explored(
                _targets(behavior, plan, candles, grid, rules, held, seed),
                len(grid),
                share=explore,
                seed=seed + 1,
            ),
        )
        digest = write_buffer(path, count.of(parts))
        print(f"{path}: {count}; SHA-256 of the content {digest}")  # noqa: T201


class _Count:
    """What went through: rows, episodes and reward."""

    def __init__(self) -> None:
        self.rows, self.episodes, self.reward = 0, 0, 0.0

    def of(self, parts: Iterator[TransitionBuffer]) -> Iterator[TransitionBuffer]:
        for part in parts:
            self.rows += len(part)
            self.episodes += 1
            self.reward += float(part.reward.sum())
            yield part

    def __str__(self) -> str:
        mean = 1e4 * self.reward / max(1, self.rows)
        return f"{self.rows:,} rows, {self.episodes} episodes, mean reward {mean:.3f} bps a row"


def _episodes(
    settings: Mapping[str, Any],
    plans: Sequence[PairPlan],
    header: BufferHeader,
    rules: TradingRules,
    episode_rows: int,
    targets_of: Any,
) -> Iterator[TransitionBuffer]:
    number = 0
    for plan in plans:
        path = price_path(settings, plan)
        for part in record(
            path,
            targets_of(plan, path),
            header,
            rules,
            pair=plan.pair,
            episode_rows=episode_rows,
            first_episode=number,
        ):
            number += 1
            yield part


def _targets(
    behavior: Behavior,
    plan: PairPlan,
    path: PricePath,
    grid: Floats,
    rules: TradingRules,
    trades: pd.DataFrame | None,
    seed: int,
) -> Targets:
    if behavior is Behavior.TREND:
        return trend_targets(path, grid)
    if behavior is Behavior.HINDSIGHT:
        return hindsight_targets(path, grid, rules.cost)
    if trades is None:
        return random_targets(len(path), len(grid), seed=seed)
    return trade_targets(trades[trades["pair"] == plan.pair], path.dates, grid)


if __name__ == "__main__":
    run(app, OperationalException)
