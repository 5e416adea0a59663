"""What a policy is trained on: features, and what every position earns and costs on a known path.

Prices do not react to our trades, so all positions' gains are known at once from one path. Profit
is counted on a constant stake (it adds up, it does not compound).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent_market.errors import DataError
from agent_market.rl.paths import Floats, PricePath, holding_gains, trading_costs

Choices = npt.NDArray[np.int64]

UNKNOWN_ROWS = 2  # the last rows of a path, whose fill or outcome is not known


@dataclass(frozen=True)
class TradingProblem:
    """A path as a policy sees it.

    Parameters
    ----------
    features : array, float32, (n_rows, n_features)
        Known at the close of their row; NaN passes.
    positions : array, float64, (n_positions,)
        What may be held, as multiples of capital; ascending, 0 among them.
    gains : array, float64, (n_rows, n_positions)
        What the position chosen on a row earns until the next one may be chosen, without costs,
        as a share of capital. No NaN.
    costs : array, float64, (n_positions, n_positions)
        Of going from one position [first axis] to another, as a share of capital.

    Raises
    ------
    DataError
        Shapes do not fit, a gain is not finite, or the positions are not ascending around 0.
    """

    features: npt.NDArray[np.float32]
    positions: Floats
    gains: Floats
    costs: Floats

    def __post_init__(self) -> None:
        check_positions(self.positions)
        n_positions = len(self.positions)
        wanted = (len(self.features), n_positions)
        if self.gains.shape != wanted or self.costs.shape != (n_positions, n_positions):
            raise DataError(
                f"trading problem: gains have the shape {self.gains.shape} and costs "
                f"{self.costs.shape}, {wanted} and {(n_positions, n_positions)} are needed."
            )
        if not np.isfinite(self.gains).all():
            row = int(np.flatnonzero(~np.isfinite(self.gains).all(axis=1))[0])
            raise DataError(
                f"trading problem: the gain of row {row} is {self.gains[row]}. Leave out rows "
                "whose outcome is not known, such as the last two of a path."
            )

    @classmethod
    def of(
        cls, path: PricePath, positions: Sequence[float] | Floats, cost: float
    ) -> TradingProblem:
        """Return the problem of a path, without its last two rows.

        Parameters
        ----------
        path : PricePath
        positions : sequence of float
            What may be held.
        cost : float
            Fee and slippage of one side, as a share of the value traded.
        """
        grid = np.asarray(positions, dtype=np.float64)
        gains = holding_gains(path, grid)[:-UNKNOWN_ROWS]
        return cls(path.features[:-UNKNOWN_ROWS], grid, gains, trading_costs(grid, cost))

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, start: int, stop: int) -> TradingProblem:
        """Return a contiguous part."""
        part = slice(start, stop)
        return TradingProblem(self.features[part], self.positions, self.gains[part], self.costs)


def check_positions(positions: Floats) -> None:
    """Refuse positions that are not ascending, or hold no flat one."""
    if positions.ndim != 1 or not (np.diff(positions) > 0).all() or 0 not in positions:
        raise DataError(
            f"positions are {positions.tolist()}. Give ascending multiples of capital with 0 among "
            "them, such as [-1, 0, 1]."
        )


def nearest_index(positions: Floats, exposure: float) -> int:
    """Return which of the positions is nearest to an exposure."""
    return int(np.abs(positions - exposure).argmin())


def net_gains(problem: TradingProblem, chosen: Choices, start: int) -> Floats:
    """Return what each row of a sequence of choices earns after costs.

    Parameters
    ----------
    problem : TradingProblem
    chosen : array, int, (n_rows,)
        The position of each row, as an index.
    start : int
        The one before the first row.

    Returns
    -------
    array, float64, (n_rows,)
        As a share of capital; the position left at the end is not closed.
    """
    rows = np.arange(len(problem))
    before = np.concatenate([[start], chosen[:-1]])
    gained = problem.gains[rows, chosen] - problem.costs[before, chosen]
    return np.asarray(gained)
