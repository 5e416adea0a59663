"""The rules of a trade: fees, leverage, stop-loss, minimal ROI, liquidation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError


class RuleValues(NamedTuple):
    """`TradingRules` as the compiled kernel takes them."""

    cost: float
    leverage: float
    can_short: bool
    stop_share: float
    max_holding: int
    candle_minutes: int
    has_liquidation: bool
    maintenance_margin: float
    maintenance_amount: float
    liquidation_buffer: float
    amount_step: float


class Roi(NamedTuple):
    """The minimal ROI as the compiled kernel takes it, by ascending minutes."""

    minutes: npt.NDArray[np.int64]
    ratios: npt.NDArray[np.float64]


@dataclass(frozen=True)
class TradingRules:
    """What one account may do and what it costs, in the host's own words and signs.

    Parameters
    ----------
    fee : float
        Fee of one side, as a share of the value traded; 0.0005 is 5 basis points.
    slippage : float
        Added to the fee of each side: the host's backtest knows no other slippage than its `--fee`.
    leverage : float
        Of every trade, at least 1.
    can_short : bool
        False for spot.
    stoploss : float
        As in a strategy: -0.05 exits at a loss of 5 % of the stake; -1 is a stop at price 0.
    minimal_roi : mapping from int to float
        As in a strategy: minutes since the entry to the profit that is taken then. Empty for none.
    max_holding_candles : int
        Exit at the open after so many candles; 0 for no limit. In a strategy this is `custom_exit`.
    candle_minutes : int
        Length of a candle.
    maintenance_margin : float or None
        Share of a futures position's value below which the exchange liquidates it (the lowest tier
        of the pair's leverage tiers). None for spot: nothing is liquidated.
    maintenance_amount : float
        The tier's maintenance amount, quote currency.
    liquidation_buffer : float
        The host's setting of the same name.
    amount_step : float
        Amounts are cut to a multiple of it, base currency; 0 for any amount.
    start_balance : float
        Quote currency. Every entry stakes the closed balance times the size of the position.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    fee: float = 0.0005
    slippage: float = 0.0
    leverage: float = 1.0
    can_short: bool = True
    stoploss: float = -1.0
    minimal_roi: Mapping[int, float] = field(default_factory=dict)
    max_holding_candles: int = 0
    candle_minutes: int = 5
    maintenance_margin: float | None = None
    maintenance_amount: float = 0.0
    liquidation_buffer: float = 0.05
    amount_step: float = 0.0
    start_balance: float = 10_000.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        checks = {
            "fee": (0 <= self.fee < 1, "a share from 0 to 1"),
            "slippage": (0 <= self.slippage < 1, "a share from 0 to 1"),
            "leverage": (self.leverage >= 1, "at least 1"),
            "stoploss": (-1 <= self.stoploss < 0, "a loss: from -1 to below 0"),
            "max_holding_candles": (self.max_holding_candles >= 0, "0 or more"),
            "candle_minutes": (self.candle_minutes >= 1, "1 or more"),
            "amount_step": (self.amount_step >= 0, "0 or more"),
            "start_balance": (self.start_balance > 0, "above 0"),
        }
        for name, (is_right, wanted) in checks.items():
            if not is_right:
                raise ConfigError(f"rules: {name} is {getattr(self, name)}, it must be {wanted}.")

    @property
    def cost(self) -> float:
        """Fee and slippage of one side, as a share of the value traded."""
        return self.fee + self.slippage

    def values(self) -> RuleValues:
        """Return the numbers in the form that the kernel takes."""
        return RuleValues(
            cost=float(self.cost),
            leverage=float(self.leverage),
            can_short=bool(self.can_short),
            stop_share=abs(float(self.stoploss) / float(self.leverage)),
            max_holding=int(self.max_holding_candles),
            candle_minutes=int(self.candle_minutes),
            has_liquidation=self.maintenance_margin is not None,
            maintenance_margin=float(self.maintenance_margin or 0.0),
            maintenance_amount=float(self.maintenance_amount),
            liquidation_buffer=float(self.liquidation_buffer),
            amount_step=float(self.amount_step),
        )

    def roi(self) -> Roi:
        """Return the minimal ROI in the form that the kernel takes."""
        entries = sorted(self.minimal_roi.items())
        return Roi(
            np.array([minutes for minutes, _ in entries], np.int64),
            np.array([ratio for _, ratio in entries], np.float64),
        )
