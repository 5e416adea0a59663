"""Buffers that tests write, read and learn from."""

import numpy as np

from agent_market.rl.offline.buffer import ARRAYS, BufferHeader, TransitionBuffer

HEADER = BufferHeader(
    pairs=("BTC/USDT:USDT", "ETH/USDT:USDT"),
    timeframe="5m",
    feature_names=("%-momentum", "%-volume_z"),
    state_names=("position", "unrealized_profit"),
    positions=(-1, 0, 1),
    cost=0.0005,
    behavior="random",
)


def some_rows(n_rows: int, *, seed: int = 0, per_episode: int = 7) -> TransitionBuffer:
    """Rows of any content; every second episode is of the second pair."""
    draw = np.random.default_rng(seed)
    episode = np.arange(n_rows) // per_episode
    columns = {
        "episode": episode,
        "pair": episode % 2,
        "date": np.datetime64("2025-01-01", "ms")
        + np.arange(n_rows) * np.timedelta64(300_000, "ms"),
        "observation": draw.normal(size=(n_rows, 2)) * 10.0 ** draw.integers(-9, 9, (n_rows, 2)),
        "position_state": draw.normal(size=(n_rows, 2)),
        "held": draw.integers(0, 3, n_rows),
        "action": draw.integers(0, 3, n_rows),
        "reward": draw.normal(size=n_rows) / 3,
        "done": (np.arange(n_rows) % (2 * per_episode)) == 2 * per_episode - 1,
    }
    return TransitionBuffer(HEADER, **{n: columns[n].astype(kind) for n, kind in ARRAYS.items()})


def assert_equal(found: TransitionBuffer, wanted: TransitionBuffer) -> None:
    assert found.header == wanted.header
    for name in ARRAYS:
        a, b = getattr(found, name), getattr(wanted, name)
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes(), name
