"""Two variants over the same days: which is better, and at which costs still."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError
from agent_market.evaluation.gates.figures import Evidence, fees_of, realized, turnover_of
from agent_market.evaluation.metrics import MIN_DAYS_FOR_INTERVAL, Interval, sharpe_ratio
from agent_market.evaluation.training.bootstrap import percentile_interval

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 2000
FEE_MULTIPLES = (1.0, 2.0)
SLIPPAGE_BPS = (0.0, 2.0, 5.0, 10.0)
_DAY = pd.Timedelta(days=1)
_BPS = 1e4


@dataclass(frozen=True)
class CostCase:
    """The comparison at other costs than those that were paid.

    fee_multiple : of the fees paid. slippage_bps : added to every order, of its value.
    first_return, second_return : net, over all days, fractions.
    difference_bps : mean of the second's daily return minus the first's, basis points a day.
    difference_interval : its 95 % interval.
    sharpe_difference, sharpe_interval : the same of the annualized daily Sharpe ratio.
    """

    fee_multiple: float
    slippage_bps: float
    first_return: float
    second_return: float
    difference_bps: float
    difference_interval: Interval
    sharpe_difference: float
    sharpe_interval: Interval


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    start, end : whole UTC days, `end` excluded. days : their number.
    cases : the first at the costs that were paid, then the others.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    days: int
    first_trades: int
    second_trades: int
    cases: tuple[CostCase, ...]


def compare(first: Evidence, second: Evidence, seed: int) -> Comparison:
    """Compare two variants over the whole UTC days that both have.

    Days are drawn in circular blocks of n^(1/3) days (Politis and Romano, 1992), the same ones for
    both variants: what moved both of them on a day cancels out. Costs other than those paid change
    profits only; trades and stakes stay as they were.

    Parameters
    ----------
    first, second : Evidence
        For example AI off and AI on.
    seed : int
        Of the bootstrap: equal seeds give equal intervals.

    Raises
    ------
    DataError
        They share fewer than ten days, or a profit or a cost is not finite.
    """
    start = max(_ceiled(first), _ceiled(second))
    end = min(pd.Timestamp(first.end), pd.Timestamp(second.end)).floor("D")
    days = max(0, (end - start) // _DAY)
    if days < MIN_DAYS_FOR_INTERVAL:
        raise DataError(
            f"{first.source} and {second.source} share {days} whole days; "
            f"{MIN_DAYS_FOR_INTERVAL} are the least. Compare runs over the same time range."
        )
    books = [_Book.of(each, start, days) for each in (first, second)]
    rows = _resampled_days(days, seed)
    cases = [
        _case(books, rows, fee_multiple, slippage_bps)
        for fee_multiple in FEE_MULTIPLES
        for slippage_bps in SLIPPAGE_BPS
    ]
    return Comparison(start, end, days, books[0].trades, books[1].trades, tuple(cases))


@dataclass(frozen=True)
class _Book:
    """Profit, fees and turnover of each day, shape (n_days,), stake currency."""

    balance: float
    trades: int
    profit: FloatArray
    fees: FloatArray
    turnover: FloatArray

    @classmethod
    def of(cls, evidence: Evidence, start: pd.Timestamp, days: int) -> _Book:
        closed_at = pd.to_datetime(evidence.trades["close_date"], utc=True)
        inside = (closed_at > start) & (closed_at <= start + days * _DAY)
        trades = evidence.trades[inside]
        # a backtest closes what is open at its very end: that moment belongs to the day before
        day = np.asarray(np.ceil((closed_at[inside] - start) / _DAY), np.int64) - 1
        records = trades.to_dict("records")
        values = {
            "profit": trades["profit_abs"].to_numpy(float),
            "fees": np.array([fees_of(trade) for trade in records], np.float64),
            "turnover": np.array([turnover_of(trade) for trade in records], np.float64),
        }
        for name, each in values.items():
            if not np.isfinite(each).all():
                raise DataError(f"{evidence.source}: the {name} of a closed trade is not finite.")
        return cls(
            balance=evidence.starting_balance + realized(evidence.trades, start),
            trades=len(trades),
            **{name: _by_day(day, each, days) for name, each in values.items()},
        )

    def returns(self, fee_multiple: float, slippage_bps: float) -> FloatArray:
        """Return daily returns on the equity of the day before; NaN once nothing is left."""
        extra = (fee_multiple - 1) * self.fees + slippage_bps / _BPS * self.turnover
        equity = self.balance + np.concatenate([[0.0], np.cumsum(self.profit - extra)])
        before = np.where(np.minimum.accumulate(equity[:-1]) > 0, equity[:-1], np.nan)
        return np.asarray(np.diff(equity) / before, dtype=np.float64)


def _case(
    books: list[_Book], rows: npt.NDArray[np.int64], fee_multiple: float, slippage_bps: float
) -> CostCase:
    first, second = (book.returns(fee_multiple, slippage_bps) for book in books)
    difference = second - first
    return CostCase(
        fee_multiple=fee_multiple,
        slippage_bps=slippage_bps,
        first_return=float(np.prod(1 + first) - 1),
        second_return=float(np.prod(1 + second) - 1),
        difference_bps=_BPS * float(difference.mean()),
        difference_interval=_interval(_BPS * difference[rows].mean(axis=1)),
        sharpe_difference=_sharpe_or_zero(second) - _sharpe_or_zero(first),
        sharpe_interval=_interval(_sharpes(second[rows]) - _sharpes(first[rows])),
    )


def _interval(draws: FloatArray) -> Interval:
    # a draw without a value is a ruined account, and no chance to leave out
    return percentile_interval(draws) if np.isfinite(draws).all() else Interval(math.nan, math.nan)


def _sharpe_or_zero(returns: FloatArray) -> float:
    # a variant that stays flat has no ratio; against it the other one's stands
    return 0.0 if (returns == 0).all() else sharpe_ratio(returns)


def _sharpes(draws: FloatArray) -> FloatArray:
    deviation = draws.std(axis=1, ddof=1)
    mean = draws.mean(axis=1)
    flat = deviation <= 1e-12 * np.abs(draws).max(axis=1)
    ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=~flat)
    ratio[flat & (mean != 0)] = np.nan
    return np.asarray(ratio * math.sqrt(365), dtype=np.float64)


def _resampled_days(days: int, seed: int) -> npt.NDArray[np.int64]:
    """Return which days each resample holds, shape (n_resamples, n_days)."""
    length = max(2, round(days ** (1 / 3)))
    blocks = math.ceil(days / length)
    starts = np.random.default_rng(seed).integers(0, days, size=(RESAMPLES, blocks, 1))
    return ((starts + np.arange(length)) % days).reshape(RESAMPLES, -1)[:, :days]


def _by_day(day: npt.NDArray[np.int64], values: FloatArray, days: int) -> FloatArray:
    return np.asarray(np.bincount(day, values, days), dtype=np.float64)


def _ceiled(evidence: Evidence) -> pd.Timestamp:
    return pd.Timestamp(evidence.start).ceil("D")
