"""Given actions over a whole path: the trades, the balance and the positions they make."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent_market.errors import DataError
from agent_market.rl.accounting import ACCOUNT, TRADE, candles_of, run_account
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.rules import TradingRules


class Replay(NamedTuple):
    """What actions have come to.

    Parameters
    ----------
    trades : array of TRADE, (n_trades,)
        Closed trades in their order; what is open at the end is closed at the last open.
    equity : array, float64, (n_rows,)
        Row t: the balance in quote currency, before the exit fee of an open position, at the open
        of candle t + 1, after candle t was traded. Row 0 is the start; in the last row nothing is
        open.
    positions : array, float64, (n_rows,)
        Row t: size and side held at the close of candle t, from -1 to 1.
    """

    trades: np.ndarray
    equity: Floats
    positions: Floats


def replay(
    path: PricePath, rules: TradingRules, flags: npt.NDArray[np.int64], sizes: Floats
) -> Replay:
    """Trade a path on given signals, as the host's backtest does.

    Parameters
    ----------
    path : PricePath
    rules : TradingRules
    flags : array, int64, (n_rows,)
        Signals of each row, see `agent_market.rl.accounting.trade_candle`; filled at the next open.
    sizes : array, float64, (n_rows,)
        Share of the balance to stake; a changed size of an open position adds or sells a part.

    Returns
    -------
    Replay

    Raises
    ------
    DataError
        If there is not one signal and size a row.
    """
    if not len(path) == len(flags) == len(sizes):
        raise DataError(
            f"replay: {len(flags)} signals and {len(sizes)} sizes for {len(path)} rows. "
            "Give one of each a row."
        )
    account = np.zeros(1, ACCOUNT)
    trades = np.zeros(2 * len(path) + 2, TRADE)
    equity, positions = np.zeros(len(path)), np.zeros(len(path))
    n_trades = run_account(
        account,
        np.ascontiguousarray(flags, np.int64),
        np.ascontiguousarray(sizes, np.float64),
        rules.start_balance,
        candles_of(path),
        rules.roi(),
        rules.values(),
        trades,
        equity,
        positions,
    )
    return Replay(trades[:n_trades].copy(), equity, positions)
