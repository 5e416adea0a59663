"""The candles and features that an environment walks over."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent_market.errors import DataError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PricePath:
    """One pair's candles and features, oldest first.

    An action decided on row t, known when candle t closes, is filled at the open of candle t + 1.

    Parameters
    ----------
    features : array, float32, (n_rows, n_features)
        Known at the close of their row.
    open, high, low, close : array, float64, (n_rows,)
        Prices in quote currency.
    funding_rate : array, float64, (n_rows,)
        Sum of the funding rates charged within a candle, as a share of the position's value;
        a long position pays a positive rate. Zeros for spot. The value is the one at the candle's
        open: `funding_shares` makes this of rates and mark prices.
    dates : array, datetime64, (n_rows,), optional
        When candles open, UTC. The host recounts funding on the hour.
    price_step : array, float64, (n_rows,), optional
        Grid of the pair's prices; the host takes it from the decimals of a month's candles. Without
        it prices are not rounded.

    Raises
    ------
    DataError
        If an array has another length, or a price is not a positive number.
    """

    features: npt.NDArray[np.float32]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    funding_rate: Floats
    dates: npt.NDArray[np.datetime64] | None = None
    price_step: Floats | None = None

    def __post_init__(self) -> None:
        """Check lengths and prices."""
        for name in ("open", "high", "low", "close", "funding_rate"):
            if getattr(self, name).shape != (len(self),):
                raise DataError(
                    f"path: {name} has the shape {getattr(self, name).shape}, the features have "
                    f"{len(self)} rows. Give one value a row."
                )
        for name in ("open", "high", "low", "close"):
            prices = getattr(self, name)
            bad = np.flatnonzero(~(prices > 0))
            if bad.size:
                raise DataError(
                    f"path: {name} of row {bad[0]} is {prices[bad[0]]}, not a positive number. "
                    "Fill or cut missing candles first."
                )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.features)

    def is_on_the_hour(self) -> npt.NDArray[np.bool_]:
        """Return which candles open on the full hour; none without dates."""
        if self.dates is None:
            return np.zeros(len(self), np.bool_)
        seconds: npt.NDArray[np.int64] = self.dates.astype("datetime64[s]").astype(np.int64)
        return np.equal(seconds % 3600, 0)


def funding_shares(
    dates: npt.NDArray[np.datetime64],
    open_price: Floats,
    funding_dates: npt.NDArray[np.datetime64],
    funding_rate: Floats,
    mark_price: Floats,
) -> Floats:
    """Return the funding charged in each candle, as a share of the position's value at its open.

    Parameters
    ----------
    dates : array, datetime64, (n_rows,)
        When candles open, ascending.
    open_price : array, float64, (n_rows,)
    funding_dates : array, datetime64, (n_events,)
        When funding is charged. Events outside the candles are left out.
    funding_rate, mark_price : array, float64, (n_events,)
        The rate, and the mark price that it is charged on. A NaN charges nothing, as in the host.

    Returns
    -------
    array, float64, (n_rows,)

    Raises
    ------
    DataError
        If funding is charged within a candle and not at its open: a backtest on such candles
        cannot tell a trade that paid from one that did not.
    """
    shares = np.zeros(len(dates))
    kept = (funding_dates >= dates[0]) & (funding_dates <= dates[-1])
    rows = np.searchsorted(dates, funding_dates[kept])
    stray = dates[rows] != funding_dates[kept]
    if stray.any():
        raise DataError(
            f"path: funding is charged at {funding_dates[kept][stray][0]}, where no candle opens. "
            "Take candles at whose opens funding is charged, 8 hours or shorter."
        )
    np.add.at(shares, rows, np.nan_to_num(funding_rate[kept] * mark_price[kept]))
    return shares / open_price


def holding_gains(path: PricePath, positions: Floats) -> Floats:
    """Return what each position earns on the candle after a decision, as a share of its capital.

    Parameters
    ----------
    path : PricePath
    positions : array, float64, (n_positions,)
        Exposure as a multiple of capital: -1 is short, 0 flat, 2 long with leverage 2.

    Returns
    -------
    array, float64, (n_rows, n_positions)
        Row t: held from the open of candle t + 1 to the open of candle t + 2, funding deducted, no
        fee. The last two rows are NaN, for their prices are not known.
    """
    gains = np.full((len(path), len(positions)), np.nan)
    change = path.open[2:] / path.open[1:-1] - 1 - path.funding_rate[1:-1]
    gains[:-2] = change[:, None] * positions[None, :]
    return gains


def trading_costs(positions: Floats, cost: float) -> Floats:
    """Return the cost of every change of position, as a share of capital.

    Parameters
    ----------
    positions : array, float64, (n_positions,)
    cost : float
        Fee and slippage of one side, as a share of the value traded; 0.0005 is 5 basis points.

    Returns
    -------
    array, float64, (n_positions, n_positions)
        [previous, next].
    """
    return cost * np.abs(positions[:, None] - positions[None, :])
