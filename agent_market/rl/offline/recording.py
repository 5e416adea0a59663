"""Logs of the trading environment: what it shows, what is asked of it, and what it pays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError, DataError
from agent_market.rl.accounting import STATE_NAMES
from agent_market.rl.env import TradingEnv, target_actions
from agent_market.rl.offline.behavior import Targets, position_targets
from agent_market.rl.offline.buffer import ARRAYS, BufferHeader, TransitionBuffer
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules

STATES = tuple(STATE_NAMES)


def header_for(
    pairs: tuple[str, ...],
    feature_names: tuple[str, ...],
    positions: tuple[float, ...],
    rules: TradingRules,
    *,
    timeframe: str,
    behavior: str,
    knows_future: bool = False,
) -> BufferHeader:
    """Return the header of what `record` makes under these rules."""
    return BufferHeader(
        pairs=pairs,
        timeframe=timeframe,
        feature_names=feature_names,
        state_names=STATES,
        positions=positions,
        cost=rules.cost,
        behavior=behavior,
        knows_future=knows_future,
    )


def record(
    path: PricePath,
    targets: Targets,
    header: BufferHeader,
    rules: TradingRules,
    *,
    pair: str,
    episode_rows: int = 1000,
    first_episode: int = 0,
) -> Iterator[TransitionBuffer]:
    """Yield the episodes of a path, end to end, each begun flat: one part of a buffer an episode.

    Parameters
    ----------
    path : PricePath
        With dates.
    targets : array, int64, (n_rows,)
        Asked for on each row, as an index into `header.positions`.
    header : BufferHeader
    rules : TradingRules
        Fees, stops and the rest, by which the environment pays: the reward is the net profit of the
        row as a share of the account.
    pair : str
    episode_rows : int
        Rows of an episode. An episode is cut, not ended: what followed is unknown, not nothing.
    first_episode : int
        Number of the first one.

    Notes
    -----
    Information time: the observation of row t uses rows <= t, its reward prices up to the open of
    candle t + 2. The last two rows of the path are left out, for theirs are not known.

    Raises
    ------
    DataError
        Targets or dates are not one a row.
    ConfigError
        The positions are not the environment's.
    """
    if path.dates is None or len(targets) != len(path):
        raise DataError(
            f"record: {pair} has {len(path)} rows, {len(targets)} targets and "
            f"{'no' if path.dates is None else len(path.dates)} dates. Give one of each a row."
        )
    env = TradingEnv(path, rules, target_actions(header.positions))
    code = header.pairs.index(pair) if pair in header.pairs else -1
    if code < 0:
        raise ConfigError(f"record: {pair} is not among the pairs of the header, {header.pairs}.")
    last = len(path) - 2
    for number, start in enumerate(range(0, last, episode_rows), start=first_episode):
        stop = min(start + episode_rows, last)
        rows = slice(start, stop)
        dates = path.dates[rows].astype(ARRAYS["date"])
        yield _episode(env, start, dates, targets[rows], header, (number, code))


def _episode(
    env: TradingEnv,
    start: int,
    dates: npt.NDArray[np.datetime64],
    targets: Targets,
    header: BufferHeader,
    labels: tuple[int, int],
) -> TransitionBuffer:
    grid = np.array(header.positions)
    n_features = len(header.feature_names)
    seen, _ = env.reset(options={"row": start})
    observed, rewards, done = [], [], []
    for target in targets:
        observed.append(seen)
        seen, reward, is_over, _, _ = env.step(int(target))
        rewards.append(reward)
        done.append(is_over)
        if is_over:
            break
    n_rows = len(rewards)
    table = np.array(observed, np.float32)
    return TransitionBuffer(
        header,
        episode=np.full(n_rows, labels[0]),
        pair=np.full(n_rows, labels[1]),
        date=dates[:n_rows],
        observation=table[:, :n_features],
        position_state=table[:, n_features:],
        held=position_targets(table[:, n_features].astype(np.float64), grid),
        action=targets[:n_rows].astype(np.int64),
        reward=np.array(rewards),
        done=np.array(done),
    )
