from datetime import datetime
from typing import Any

from freqtrade.exceptions import OperationalException
from pandas import DataFrame

from agent_market.bridge import FeatureHooks
from agent_market.learning.labels import HoldingReturn
from agent_market.learning.window_model import policy_column

GAIN = "&-gain"
FROM_SHORT, FROM_FLAT, FROM_LONG = (policy_column(GAIN, held) for held in (-1, 0, 1))


class RLTrader(FeatureHooks):
    """
    Trades what a policy asks for: PolicyTrader, PPOTrader, OfflineTrader, ImitationTrader.

    A policy says for each position that may be held which one to take next. What is held is the
    open trade, so backtest, dry run and live trade by the same columns, also after a stop-loss or a
    restart. Candles without a trusted prediction close what is open.
    """

    INTERFACE_VERSION = 3
    timeframe = "5m"
    can_short = True
    process_only_new_candles = True
    startup_candle_count = 150
    minimal_roi = {"0": 10}
    stoploss = -0.2
    use_exit_signal = True

    plot_config = {
        "subplots": {
            "Next position": {
                FROM_SHORT: {"color": "#d62728"},
                FROM_FLAT: {"color": "#7f7f7f"},
                FROM_LONG: {"color": "#2ca02c"},
                "do_predict": {"color": "#c7c7c7"},
            },
        },
    }

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.can_short = config.get("trading_mode", "spot") != "spot"

    def set_freqai_targets(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        return dataframe.join(HoldingReturn(column=GAIN).compute(dataframe))

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe = self.freqai.start(dataframe, metadata, self)
        wanted = [FROM_FLAT, FROM_LONG, *([FROM_SHORT] if self.can_short else [])]
        missing = [name for name in wanted if name not in dataframe]
        if missing and (dataframe["do_predict"] == 1).any():
            raise OperationalException(
                f"RLTrader trades by {', '.join(wanted)}, and the model gives no "
                f"{', '.join(missing)}. Choose a model that is a policy, such as --freqaimodel "
                "PolicyTrader, with -1, 0 and 1 among its positions (0 and 1 on spot markets)."
            )
        # before a live bot has its first model
        return dataframe.reindex(columns=[*dataframe, *missing])

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        trusted = dataframe["do_predict"] == 1
        # only what would be kept: the host reads an entry beside its own exit as neither, and would
        # not close a long position whose exit a contradictory policy asks for
        opens_long = (dataframe[FROM_FLAT] > 0) & (dataframe[FROM_LONG] > 0)
        dataframe.loc[trusted & opens_long, "enter_long"] = 1
        if self.can_short:
            opens_short = (dataframe[FROM_FLAT] < 0) & (dataframe[FROM_SHORT] < 0)
            dataframe.loc[trusted & opens_short, "enter_short"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        trusted = dataframe["do_predict"] == 1
        dataframe.loc[~(trusted & (dataframe[FROM_LONG] > 0)), "exit_long"] = 1
        if self.can_short:
            dataframe.loc[~(trusted & (dataframe[FROM_SHORT] < 0)), "exit_short"] = 1
        return dataframe

    def leverage(
        self,
        pair: str,
        current_time: datetime,
        current_rate: float,
        proposed_leverage: float,
        max_leverage: float,
        **kwargs: Any,
    ) -> float:
        return min(self.settings.rl.leverage, max_leverage)
