from datetime import datetime
from typing import Any

from freqtrade.persistence import Trade
from freqtrade.strategy import AnnotationType, DecimalParameter, IntParameter
from pandas import DataFrame

from agent_market.bridge import DecisionDesk, FeatureHooks, plot_config
from agent_market.learning.labels import ForwardReturn

PREDICTION = "&-forward_return"


class HybridMultiMode(FeatureHooks):
    """
    Modes chosen by a causal regime, confirmed by FreqAI, and let through by one risk gate.

    Hooks only: the rules are in `agent_market.decisions`, the features in `agent_market.features`,
    modes, limits and thresholds in the section `agent_market` of the configuration; what hyperopt
    finds stands above the thresholds. Where the user directory has
    `freqai_features.json`, the features are those that it names; the expressions of
    `freqai_expressions.json` are features too.
    """

    INTERFACE_VERSION = 3
    timeframe = "5m"
    can_short = True
    process_only_new_candles = True
    startup_candle_count = 150
    minimal_roi = {"0": 10}
    stoploss = -0.06
    use_exit_signal = True
    use_custom_stoploss = True

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.desk = DecisionDesk(self, self.settings, PREDICTION, self.feature_set)
        modes, exits = self.settings.modes, self.settings.exits
        self.entry_edge_bps = DecimalParameter(
            0, 40, default=modes.entry_edge_bps, decimals=3, space="buy"
        )
        self.deviation_z = DecimalParameter(
            0.5, 3, default=modes.deviation_z, decimals=3, space="buy"
        )
        self.max_holding_candles = IntParameter(
            6, 144, default=exits.max_holding_candles, space="sell"
        )
        self.position_adjustment_enable = self.desk.scales_in

    @property
    def plot_config(self) -> dict[str, Any]:
        return plot_config(self.settings, PREDICTION)

    @property
    def protections(self) -> list[dict[str, Any]]:
        return [
            {"method": "CooldownPeriod", "stop_duration_candles": 2},
            {
                "method": "StoplossGuard",
                "lookback_period_candles": 288,
                "trade_limit": 4,
                "stop_duration_candles": 72,
                "only_per_pair": False,
            },
            {
                "method": "MaxDrawdown",
                "lookback_period_candles": 2016,
                "trade_limit": 20,
                "stop_duration_candles": 144,
                "max_allowed_drawdown": 0.15,
            },
        ]

    def informative_pairs(self) -> list[tuple[str, str, str]]:
        wanted = self.desk.informative_candles(self.dp.current_whitelist())
        return sorted({*super().informative_pairs(), *wanted})

    def bot_loop_start(self, current_time: datetime, **kwargs: Any) -> None:
        if news := self.desk.observe(current_time):
            self.dp.send_msg("\n".join(news))

    def set_freqai_targets(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        horizon = self.freqai_info["feature_parameters"]["label_period_candles"]
        label = ForwardReturn(horizon_candles=horizon, column=PREDICTION)
        return dataframe.join(label.compute(dataframe))

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return self.desk.measure(self.freqai.start(dataframe, metadata, self), metadata)

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return self.desk.choose(
            dataframe,
            entry_edge_bps=self.entry_edge_bps.value,
            deviation_z=self.deviation_z.value,
        )

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return dataframe

    def plot_annotations(
        self,
        pair: str,
        start_date: datetime,
        end_date: datetime,
        dataframe: DataFrame,
        **kwargs: Any,
    ) -> list[AnnotationType]:
        return self.desk.annotations(pair, dataframe)

    def custom_exit(
        self,
        pair: str,
        trade: Trade,
        current_time: datetime,
        current_rate: float,
        current_profit: float,
        **kwargs: Any,
    ) -> str | None:
        return self.desk.exit_reason(
            trade,
            current_time,
            current_profit,
            self.entry_edge_bps.value,
            self.max_holding_candles.value,
        )

    def custom_stoploss(
        self,
        pair: str,
        trade: Trade,
        current_time: datetime,
        current_rate: float,
        current_profit: float,
        after_fill: bool,
        **kwargs: Any,
    ) -> float | None:
        return self.desk.stop(trade, current_time, current_profit)

    def leverage(
        self,
        pair: str,
        current_time: datetime,
        current_rate: float,
        proposed_leverage: float,
        max_leverage: float,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> float:
        return self.desk.leverage(pair, current_time, side, entry_tag, max_leverage)

    def custom_stake_amount(
        self,
        pair: str,
        current_time: datetime,
        current_rate: float,
        proposed_stake: float,
        min_stake: float | None,
        max_stake: float,
        leverage: float,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> float:
        return self.desk.stake(
            pair,
            current_time,
            side,
            entry_tag,
            full_stake=proposed_stake,
            max_leverage=leverage,
            min_stake=min_stake or 0.0,
            max_stake=max_stake,
        )

    def confirm_trade_entry(
        self,
        pair: str,
        order_type: str,
        amount: float,
        rate: float,
        time_in_force: str,
        current_time: datetime,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> bool:
        return self.desk.confirms(pair, current_time, side, entry_tag, amount * rate)

    def adjust_trade_position(
        self,
        trade: Trade,
        current_time: datetime,
        current_rate: float,
        current_profit: float,
        min_stake: float | None,
        max_stake: float,
        **kwargs: Any,
    ) -> float | None:
        return self.desk.added_stake(
            trade, current_time, current_profit, min_stake or 0.0, max_stake
        )
