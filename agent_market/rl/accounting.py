"""One account and one candle, as the host's backtest counts them.

The order of things within a candle, the prices of exits, the rounding to price and amount steps and
the funding are those of Freqtrade 2026.9's `Backtesting` and `LocalTrade`; `tests/parity` replays
random actions through both. Every environment, the replay and live inference use this kernel.

All compiled code that calls another is in this file: numba's cache of a function is not renewed
when a function of another file that it calls changes.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.rules import Roi, RuleValues

Record = Any  # of a structured array: numba reads and writes its fields as attributes

ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT = 1, 2, 4, 8
"""Flags of an action: the columns that a strategy sets on the row."""

EXIT_REASONS = (
    "",
    "exit_signal",
    "stop_loss",
    "liquidation",
    "roi",
    "trailing_stop_loss",
    "max_holding",
    "force_exit",
)
"""By code. A stop is called trailing once adding to a position has moved it, as in the host."""

_HALF = 0.5 + 1e-7
_SIGNAL, _STOP, _LIQUIDATION, _ROI, _MOVED_STOP, _MAX_HOLDING, _FORCE = range(1, 8)

ACCOUNT = np.dtype(
    [
        ("row", np.int64),  # the last candle that is closed
        ("end", np.int64),  # the last candle of the episode
        ("wallet", np.float64),  # closed balance, quote currency
        ("equity", np.float64),  # with the open position at the next open, before its exit fee
        ("equity_peak", np.float64),
        ("close_peak", np.float64),  # of the balance at closes, after the exit fee
        ("n_closed", np.int64),  # trades closed in the last candle
        ("losing_streak", np.int64),  # of them lost in a row, up to now
        ("side", np.int64),  # 1 long, -1 short, 0 flat
        ("size", np.float64),  # share of the balance that was asked for
        ("amount", np.float64),  # base currency
        ("average", np.float64),  # price of the amount held
        ("open_rate", np.float64),  # the same on the price grid
        ("staked", np.float64),  # value of all entries of the trade with their fees
        ("realized", np.float64),  # profit of partial exits of the open trade
        ("price_step", np.float64),  # of the month of the entry
        ("stop", np.float64),
        ("stop_moved", np.int64),
        ("liquidation", np.float64),  # 0 for none
        ("entry_row", np.int64),
        ("fill_row", np.int64),  # of the last order of the trade
        ("funding_unit", np.float64),  # per unit of base since the last order
        ("funding_running", np.float64),  # since the last order, received
        ("funding_orders", np.float64),  # that orders of the trade have booked
        ("funding_unbooked", np.float64),  # of it, since the last exit
        ("funding_shown", np.float64),  # what the host's profit formula sees
    ]
)
"""State of one account."""

TRADE = np.dtype(
    [
        ("open_row", np.int64),
        ("close_row", np.int64),
        ("side", np.int64),
        ("open_rate", np.float64),
        ("close_rate", np.float64),
        ("amount", np.float64),
        ("profit_abs", np.float64),
        ("profit_ratio", np.float64),
        ("exit_code", np.int64),  # index of EXIT_REASONS
    ]
)
"""One closed trade."""


class Candles(NamedTuple):
    """A price path as the kernel takes it."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    funding: Floats  # a unit of base that a long pays at the open of the candle
    is_funding_checked: npt.NDArray[np.bool_]
    price_step: Floats


class Candle(NamedTuple):
    """One candle, and the minimal ROI that holds in it: numbers only.

    A compiled call that passes arrays counts references to each of them; a step that did so within
    took ten times as long.
    """

    open: float
    high: float
    low: float
    close: float
    funding: float
    is_funding_checked: bool
    price_step: float
    is_last: bool
    roi_ratio: float  # of the open trade; NaN for none
    roi_minutes: int
    entry_roi_ratio: float  # of a trade that begins
    entry_roi_minutes: int


def candles_of(path: PricePath) -> Candles:
    """Return the arrays of a path, contiguous."""
    hourly = path.is_on_the_hour()
    funding = path.funding_rate * path.open
    step = np.zeros(len(path)) if path.price_step is None else path.price_step
    return Candles(
        np.ascontiguousarray(path.open),
        np.ascontiguousarray(path.high),
        np.ascontiguousarray(path.low),
        np.ascontiguousarray(path.close),
        funding,
        hourly | (funding != 0),
        np.ascontiguousarray(step),
    )


@numba.njit(cache=True, inline="always")
def _candle_at(candles: Candles, roi: Roi, row: int, minutes: int) -> Candle:
    """Return a candle for a trade that is so many minutes old."""
    ratio, entry_ratio, due, entry_due = np.nan, np.nan, 0, 0
    for entry in range(len(roi.minutes)):
        if roi.minutes[entry] <= 0:
            entry_ratio, entry_due = roi.ratios[entry], roi.minutes[entry]
        if roi.minutes[entry] <= minutes:
            ratio, due = roi.ratios[entry], roi.minutes[entry]
    return Candle(
        candles.open[row],
        candles.high[row],
        candles.low[row],
        candles.close[row],
        candles.funding[row],
        candles.is_funding_checked[row],
        candles.price_step[row],
        row == len(candles.open) - 1,
        ratio,
        due,
        entry_ratio,
        entry_due,
    )


@numba.njit(cache=True, inline="always")
def _nearest(value: float, step: float) -> float:
    """Return the nearest multiple of a step, 0 being none.

    A half goes upwards. The host calculates in decimals, where an average of two prices often is
    exactly half a step: a double that misses it by its own rounding still counts as half.
    """
    if step <= 0:
        return value
    inverse = np.rint(1.0 / step)
    if step < 1 and abs(inverse * step - 1.0) < 1e-9:
        return float(
            np.floor(value * inverse + _HALF) / inverse
        )  # the double nearest to the decimal
    return float(np.floor(value / step + _HALF) * step)


@numba.njit(cache=True)
def _above(value: float, step: float) -> float:
    nearest = _nearest(value, step)
    return nearest if nearest >= value else _nearest(nearest + step, step)  # type: ignore[no-any-return]


@numba.njit(cache=True)
def _below(value: float, step: float) -> float:
    nearest = _nearest(value, step)
    return nearest if nearest <= value else _nearest(nearest - step, step)  # type: ignore[no-any-return]


@numba.njit(cache=True)
def _ratio_at(account: Record, rate: float, rules: RuleValues) -> float:
    """Return the open trade's profit as a share of its stake, as `calc_profit_ratio` does."""
    side = account.side
    opened = account.amount * account.open_rate * (1 + side * rules.cost)
    closed = account.amount * rate * (1 - side * rules.cost) + side * account.funding_shown
    return float(np.rint(side * (closed / opened - 1) * rules.leverage * 1e8) / 1e8)


@numba.njit(cache=True)
def _profit_of(account: Record, amount: float, rate: float, cost: float) -> float:
    """Return what closing a part pays, funding that is not booked yet included."""
    change = account.side * amount * (rate - account.average)
    return float(
        change - cost * amount * account.average - cost * amount * rate + account.funding_unbooked
    )


@numba.njit(cache=True)
def _stop_price(account: Record, rules: RuleValues) -> float:
    if account.side > 0:
        return _above(account.open_rate * (1 - rules.stop_share), account.price_step)  # type: ignore[no-any-return]
    return _below(account.open_rate * (1 + rules.stop_share), account.price_step)  # type: ignore[no-any-return]


@numba.njit(cache=True)
def _liquidation_price(account: Record, rules: RuleValues) -> float:
    """Return the price at which an isolated position is liquidated; 0 for never."""
    if not rules.has_liquidation:
        return 0.0
    side, value = account.side, account.amount * account.open_rate
    stake = account.amount * account.average / rules.leverage
    price = (stake + rules.maintenance_amount - side * value) / (
        account.amount * (rules.maintenance_margin - side)
    )
    price += side * abs(account.open_rate - price) * rules.liquidation_buffer
    return _nearest(max(price, 0.0), account.price_step)  # type: ignore[no-any-return]


@numba.njit(cache=True)
def _book_order(account: Record, row: int, candle: Candle, amount: float) -> None:
    """Book the funding so far to an order, and start anew with what is due at this open."""
    account.funding_orders += account.funding_running
    account.funding_unbooked += account.funding_running
    account.funding_unit = candle.funding
    account.funding_running = -account.side * candle.funding * amount
    account.funding_shown = account.funding_orders
    account.fill_row = row


@numba.njit(cache=True)
def _enter(
    account: Record, row: int, side: int, size: float, candle: Candle, rules: RuleValues
) -> None:
    price = candle.open
    wanted = size * max(account.wallet, 0.0) / price * rules.leverage
    amount = _below(wanted, rules.amount_step)
    if amount <= 0:
        return
    account.side, account.size, account.amount = side, size, amount
    account.price_step = candle.price_step
    account.average = price
    account.open_rate = _nearest(price, account.price_step)
    account.staked = amount * price * (1 + side * rules.cost)
    account.realized = 0.0
    account.entry_row = row
    account.funding_running, account.funding_orders, account.funding_unbooked = 0.0, 0.0, 0.0
    _book_order(account, row, candle, amount)
    account.stop, account.stop_moved = _stop_price(account, rules), 0
    account.liquidation = _liquidation_price(account, rules)


@numba.njit(cache=True)
def _add(account: Record, row: int, stake: float, candle: Candle, rules: RuleValues) -> None:
    """Increase the open position at the open, as `adjust_trade_position` with a positive stake."""
    price = candle.open
    added = _below(stake / price * rules.leverage, rules.amount_step)
    if added <= 0:
        return
    total = _nearest(account.amount + added, rules.amount_step)
    account.average = (account.average * account.amount + price * added) / total
    account.amount = total
    account.open_rate = _nearest(account.average, account.price_step)
    account.staked += added * price * (1 + account.side * rules.cost)
    _book_order(account, row, candle, total)
    stop = _stop_price(account, rules)
    if (stop - account.stop) * account.side > 0:
        account.stop, account.stop_moved = stop, 1
    account.liquidation = _liquidation_price(account, rules)


@numba.njit(cache=True)
def _reduce(account: Record, row: int, stake: float, candle: Candle, rules: RuleValues) -> None:
    """Sell a part at the open, as `adjust_trade_position` with a negative stake."""
    held = account.amount * account.average / rules.leverage
    sold = _below(stake * account.amount / held, rules.amount_step)
    left = _nearest(account.amount - sold, rules.amount_step)
    if sold <= 0 or left <= 0:
        return
    # the host counts what is due now on the amount before the sale
    _book_order(account, row, candle, account.amount)
    rate = _nearest(candle.open, account.price_step)
    profit = _profit_of(account, sold, rate, rules.cost)
    account.realized += profit
    account.wallet += profit
    account.funding_unbooked = 0.0
    account.amount = left


@numba.njit(cache=True)
def _resize(account: Record, row: int, size: float, candle: Candle, rules: RuleValues) -> None:
    """Move the stake to a share of the closed balance."""
    account.size = size
    change = size * account.wallet - account.amount * account.average / rules.leverage
    if change > 0:
        _add(account, row, change, candle, rules)
    elif change < 0:
        _reduce(account, row, -change, candle, rules)


@numba.njit(cache=True)
def _close(
    account: Record,
    row: int,
    rate: float,
    code: int,
    rules: RuleValues,
    first: Record,
    second: Record,
) -> None:
    """Close the trade and write it down."""
    account.funding_unbooked += account.funding_running
    profit = _profit_of(account, account.amount, rate, rules.cost)
    account.wallet += profit
    total = account.realized + profit
    account.losing_streak = 0 if total > 0 else account.losing_streak + 1
    trade = second if account.n_closed else first
    trade.open_row, trade.close_row, trade.side = account.entry_row, row, account.side
    trade.open_rate, trade.close_rate = account.open_rate, rate
    trade.amount, trade.profit_abs = account.amount, total
    trade.profit_ratio = total / account.staked * rules.leverage
    trade.exit_code = code
    account.n_closed += 1
    account.side, account.size, account.amount = 0, 0.0, 0.0


@numba.njit(cache=True)
def _check_funding(account: Record, row: int, candle: Candle) -> None:
    if row > account.fill_row:
        account.funding_unit += candle.funding
    if candle.is_funding_checked:
        account.funding_running = -account.side * account.funding_unit * account.amount
        account.funding_shown = account.funding_orders + account.funding_running


@numba.njit(cache=True)
def _stop_rate(account: Record, row: int, price: float, candle: Candle) -> float:
    """Return the price of an exit at a stop: the open where the candle lies beyond it."""
    is_gap = price > candle.high if account.side > 0 else price < candle.low
    return float(candle.open if is_gap else price)


@numba.njit(cache=True)
def _roi_rate(account: Record, row: int, candle: Candle, rules: RuleValues) -> float:
    """Return the price at which the minimal ROI is taken within the candle, or NaN."""
    minutes = (row - account.entry_row) * rules.candle_minutes
    wanted, due = candle.roi_ratio, candle.roi_minutes
    if minutes == 0:
        wanted, due = candle.entry_roi_ratio, candle.entry_roi_minutes
    side, opened = account.side, candle.open
    best = candle.high if side > 0 else candle.low
    if not _ratio_at(account, best, rules) > wanted:
        return np.nan
    is_at_open = due % rules.candle_minutes == 0
    if wanted == -1 and is_at_open:
        return float(opened)
    value = account.amount * account.open_rate * (1 + side * rules.cost)
    target = (1 + side * wanted / rules.leverage) * value - side * account.funding_shown
    rate = target / (account.amount * (1 - side * rules.cost))
    if minutes > 0 and minutes == due and is_at_open and side * (opened - rate) > 0:
        return float(opened)
    return float(min(max(rate, candle.low), candle.high))


@numba.njit(cache=True)
def _exit(
    account: Record, row: int, flags: int, candle: Candle, rules: RuleValues
) -> tuple[int, float]:
    """Return code and price of the exit that comes first, or 0: signal, stop, ROI, moved stop."""
    side = account.side
    enters = flags & (ENTER_LONG if side > 0 else ENTER_SHORT)
    if flags & (EXIT_LONG if side > 0 else EXIT_SHORT) and not enters:
        return _SIGNAL, candle.open
    if 0 < rules.max_holding <= row - account.entry_row:
        return _MAX_HOLDING, candle.open
    worst = candle.low if side > 0 else candle.high
    is_stopped = side * (account.stop - worst) >= 0
    if is_stopped and not account.stop_moved:
        return _STOP, _stop_rate(account, row, account.stop, candle)
    if not is_stopped and account.liquidation > 0 and side * (account.liquidation - worst) >= 0:
        return _LIQUIDATION, _stop_rate(account, row, account.liquidation, candle)
    rate = _roi_rate(account, row, candle, rules)
    if not np.isnan(rate):
        return _ROI, rate
    if is_stopped:
        return _MOVED_STOP, _stop_rate(account, row, account.stop, candle)
    return 0, 0.0


@numba.njit(cache=True)
def _direction(flags: int, can_short: bool) -> int:
    """Return which side the signals enter: 1, -1, or 0."""
    if not can_short:
        flags &= ENTER_LONG | EXIT_LONG
    if flags & ENTER_LONG and not flags & (EXIT_LONG | ENTER_SHORT):
        return 1
    if flags & ENTER_SHORT and not flags & (EXIT_SHORT | ENTER_LONG):
        return -1
    return 0


@numba.njit(cache=True)
def _pass(
    account: Record,
    row: int,
    flags: int,
    size: float,
    candle: Candle,
    rules: RuleValues,
    first: Record,
    second: Record,
) -> None:
    """Enter if flat, then look for an exit."""
    direction = _direction(flags, rules.can_short)
    if account.side == 0 and direction != 0 and not candle.is_last:
        _enter(account, row, direction, size, candle, rules)
    if account.side == 0:
        return
    _check_funding(account, row, candle)
    if direction == account.side and size != account.size:
        _resize(account, row, size, candle, rules)
    code, rate = _exit(account, row, flags, candle, rules)
    if code:
        rate = _nearest(rate, account.price_step)
        _close(account, row, rate, code, rules, first, second)


@numba.njit(cache=True)
def trade_candle(
    account: Record,
    row: int,
    flags: int,
    size: float,
    candle: Candle,
    rules: RuleValues,
    first: Record,
    second: Record,
) -> None:
    """Trade one candle on the signals of the row before it.

    Parameters
    ----------
    account : record of ACCOUNT
        Changed in place.
    row : int
        The candle: entries and exit signals are filled at its open; stop-loss, liquidation and ROI
        within it. On the path's last candle nothing is entered and what is open is closed at the
        open.
    flags : int
        Signals of the row before: ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT.
    size : float
        Share of the closed balance to stake, above 0 where a flag enters.
    candle : Candle
    rules : RuleValues
    first, second : records of TRADE
        The trades that the candle closes are written here; `account.n_closed` says how many.
    """
    before, account.n_closed = account.side, 0
    _pass(account, row, flags, size, candle, rules, first, second)
    direction = _direction(flags, rules.can_short)
    if rules.can_short and before != 0 and account.side == 0 and direction == -before:
        _pass(account, row, flags, size, candle, rules, first, second)  # turn around
    if account.side != 0 and candle.is_last:
        rate = _nearest(candle.open, account.price_step)
        _close(account, row, rate, _FORCE, rules, first, second)


@numba.njit(cache=True)
def equity_at(account: Record, price: float, rules: RuleValues, exit_cost: float) -> float:
    """Return the balance with the open position at a price, quote currency.

    Parameters
    ----------
    account : record of ACCOUNT
    price : float
    rules : RuleValues
    exit_cost : float
        Cost of the exit, as a share of its value: 0, or `rules.cost`.
    """
    if account.side == 0:
        return float(account.wallet)
    held = account.average * account.amount
    change = account.side * (price * account.amount - held)
    funding = account.funding_unbooked + account.funding_running
    costs = rules.cost * held + exit_cost * price * account.amount
    return float(account.wallet + change - costs + funding)


@numba.njit(cache=True)
def open_account(account: Record, row: int, end: int, balance: float) -> None:
    """Start flat on a row."""
    account.row, account.end = row, end
    account.wallet = account.equity = account.equity_peak = account.close_peak = balance
    account.n_closed = account.losing_streak = account.side = 0
    account.size = account.amount = 0.0
    account.stop_moved, account.entry_row, account.fill_row = 0, row, row
    account.funding_running = account.funding_orders = 0.0
    account.funding_unbooked = account.funding_shown = 0.0


STATE_NAMES = ("position", "unrealized_profit_pct", "log_candles_held", "drawdown_pct")
"""What an observation holds after the features.

The position as asked for, from -1 to 1; the open trade's profit after fees, in percent of its
stake, at the close; the logarithm of 1 + candles held; the loss since the best close of the
episode, in percent of the balance.
"""


@numba.njit(cache=True)
def _write_state(
    account: Record,
    close: float,
    rules: RuleValues,
    observations: npt.NDArray[np.float32],
    env: int,
    place: int,
) -> None:
    """Write `STATE_NAMES` at the close of the account's row."""
    balance = equity_at(account, close, rules, rules.cost)
    account.close_peak = max(account.close_peak, balance)
    observations[env, place] = account.side * account.size
    observations[env, place + 1] = 0.0
    observations[env, place + 2] = 0.0
    if account.side != 0:
        observations[env, place + 1] = 100 * _ratio_at(account, close, rules)
        observations[env, place + 2] = np.log1p(account.row - account.entry_row + 1)
    observations[env, place + 3] = 100 * (1 - balance / account.close_peak)


@numba.njit(cache=True)
def _observe(
    account: Record,
    close: float,
    rules: RuleValues,
    features: npt.NDArray[np.float32],
    observations: npt.NDArray[np.float32],
    env: int,
) -> None:
    n_features = features.shape[1]
    n_before = observations.shape[1] - len(STATE_NAMES)
    first = account.row - n_before // max(n_features, 1) + 1
    for row in range(first, account.row + 1):
        place = (row - first) * n_features
        for feature in range(n_features):  # several times as fast as an assignment of slices
            observations[env, place + feature] = features[row, feature]
    _write_state(account, close, rules, observations, env, n_before)


@numba.njit(cache=True)
def start_accounts(
    accounts: np.ndarray,
    envs: npt.NDArray[np.intp],
    rows: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    balance: float,
    candles: Candles,
    rules: RuleValues,
    features: npt.NDArray[np.float32],
    observations: npt.NDArray[np.float32],
) -> None:
    """Start some accounts flat at given rows and write their observations.

    Parameters
    ----------
    accounts : array of ACCOUNT, (n_envs,)
    envs : array, int, (n_started,)
    rows, ends : array, int64, (n_started,)
        First and last row of the episodes.
    balance : float
        Quote currency.
    candles : Candles
    rules : RuleValues
    features : array, float32, (n_rows, n_features)
    observations : array, float32, (n_envs, n_observed)
        The feature rows that fit, oldest first, and `STATE_NAMES`.
    """
    for index in range(len(envs)):
        account = accounts[envs[index]]
        open_account(account, rows[index], ends[index], balance)
        close = candles.close[rows[index]]
        _observe(account, close, rules, features, observations, envs[index])


@numba.njit(cache=True)
def step_accounts(
    accounts: np.ndarray,
    flags: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.float64],
    candles: Candles,
    roi: Roi,
    rules: RuleValues,
    features: npt.NDArray[np.float32],
    log: np.ndarray,
    steps: np.ndarray,
    terminated: npt.NDArray[np.bool_],
    truncated: npt.NDArray[np.bool_],
    observations: npt.NDArray[np.float32],
) -> None:
    """Trade one candle on each account and write what it did, whether it ended, what is seen.

    Parameters
    ----------
    accounts : array of ACCOUNT, (n_envs,)
    flags : array, int64, (n_envs,)
    sizes : array, float64, (n_envs,)
        See `trade_candle`.
    candles : Candles
    roi : Roi
    rules : RuleValues
    features : array, float32, (n_rows, n_features)
    log : array of TRADE, (2,)
        Room for the trades of a candle; written over.
    steps : array of STEP, (n_envs,)
        See `agent_market.rl.rewards`.
    terminated, truncated : array, bool, (n_envs,)
    observations : array, float32, (n_envs, n_observed)

    Notes
    -----
    Information time: an observation at row t uses rows <= t, the profit of its action the open of
    candle t + 2 at most.
    """
    last = len(candles.open) - 1
    for env in range(len(accounts)):
        account, step = accounts[env], steps[env]
        row = account.row + 1
        minutes = (row - account.entry_row) * rules.candle_minutes
        candle = _candle_at(candles, roi, row, minutes)
        trade_candle(account, row, flags[env], sizes[env], candle, rules, log[0], log[1])
        step.n_closed = account.n_closed
        account.row = row
        equity = equity_at(account, candles.open[min(row + 1, last)], rules, 0.0)
        step.profit = equity / account.equity - 1
        account.equity = equity
        account.equity_peak = max(account.equity_peak, equity)
        step.drawdown = 1 - equity / account.equity_peak
        step.position = account.side * account.size
        step.candles_held = row - account.entry_row + 1 if account.side != 0 else 0
        step.losing_streak = account.losing_streak
        terminated[env] = row == last or equity <= 0
        truncated[env] = not terminated[env] and row >= account.end
        _observe(account, candles.close[row], rules, features, observations, env)


@numba.njit(cache=True)
def run_account(
    accounts: np.ndarray,
    flags: npt.NDArray[np.int64],
    sizes: Floats,
    balance: float,
    candles: Candles,
    roi: Roi,
    rules: RuleValues,
    trades: np.ndarray,
    equity: Floats,
    positions: Floats,
) -> int:
    """Trade a whole path on one account; see `agent_market.rl.replay.replay`."""
    account, last, n_trades = accounts[0], len(flags) - 1, 0
    open_account(account, 0, last, balance)
    equity[0] = balance
    for row in range(1, last + 1):
        minutes = (row - account.entry_row) * rules.candle_minutes
        candle = _candle_at(candles, roi, row, minutes)
        first, second = trades[n_trades], trades[n_trades + 1]
        trade_candle(account, row, flags[row - 1], sizes[row - 1], candle, rules, first, second)
        n_trades += account.n_closed
        account.row = row
        equity[row] = equity_at(account, candles.open[min(row + 1, last)], rules, 0.0)
        positions[row] = account.side * account.size
    return n_trades
