from datetime import datetime
from typing import Any

from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy
from pandas import DataFrame

from agent_market.bridge import (
    expression_features_of,
    expression_features_path,
    feature_inputs,
    feature_set_of,
    feature_set_path,
    informative_candles,
    settings_of,
)
from agent_market.decisions import (
    Mode,
    choose_modes,
    exit_reason,
    leverage_for,
    measure_regime,
    stake_fraction,
)
from agent_market.features import (
    Hook,
    add_calendar_features,
    add_candle_features,
    add_period_features,
)
from agent_market.learning.labels import ForwardReturn
from agent_market.market.candles import timeframe_seconds

PREDICTION = "&-forward_return"


class HybridMultiMode(IStrategy):
    """
    Trend, mean reversion and event breakout, chosen by a causal regime and confirmed by FreqAI.

    Hooks only: the rules are in `agent_market.decisions`, the features in `agent_market.features`,
    the thresholds in the section `agent_market` of the configuration. Where the user directory has
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

    plot_config = {
        "main_plot": {},
        "subplots": {
            "Prediction": {
                PREDICTION: {"color": "#1f77b4"},
                "do_predict": {"color": "#c7c7c7"},
            },
            "Regime": {
                "am_regime": {"color": "#9467bd"},
                "am_trend": {"color": "#8c564b"},
            },
            "Mode": {
                "am_mode": {"color": "#2ca02c"},
                "am_direction": {"color": "#d62728"},
            },
        },
    }

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.settings = settings_of(config)
        # Freqtrade lays the configured timeframe over the class's once the strategy is made
        timeframe = config.get("timeframe", self.timeframe)
        self.feature_set = feature_set_of(config, timeframe)
        if self.feature_set is not None:
            n_shifts = config["freqai"]["feature_parameters"].get("include_shifted_candles", 0)
            startup = self.feature_set.startup(timeframe, n_shifts)
            self.startup_candle_count = max(self.startup_candle_count, startup)
        self.expressions = expression_features_of(config, timeframe)
        if self.expressions is not None:
            memory = self.expressions.lookback
            self.startup_candle_count = max(self.startup_candle_count, memory)
        self.feature_files = (feature_set_path(config), expression_features_path(config))

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
        if self.feature_set is None:
            return []
        return informative_candles(self.feature_set, self.dp.current_whitelist())

    def feature_engineering_expand_all(
        self, dataframe: DataFrame, period: int, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        if self.feature_set is not None:
            return self._chosen_features(Hook.EXPAND_ALL, dataframe, metadata, period)
        return add_period_features(dataframe, period)

    def feature_engineering_expand_basic(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        if self.feature_set is not None:
            return self._chosen_features(Hook.EXPAND_BASIC, dataframe, metadata)
        return add_candle_features(dataframe)

    def feature_engineering_standard(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        if self.expressions is not None:
            dataframe = self.expressions.add(dataframe, metadata, self)
        if self.feature_set is not None:
            return self._chosen_features(Hook.STANDARD, dataframe, metadata)
        return add_calendar_features(dataframe, self.timeframe)

    def set_freqai_targets(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        horizon = self.freqai_info["feature_parameters"]["label_period_candles"]
        label = ForwardReturn(horizon_candles=horizon, column=PREDICTION)
        return dataframe.join(label.compute(dataframe))

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe = self.freqai.start(dataframe, metadata, self)
        regime = measure_regime(dataframe, self.settings.regime)
        modes = choose_modes(
            dataframe,
            regime,
            dataframe[PREDICTION],
            dataframe["do_predict"] == 1,
            self.settings.modes,
        )
        return dataframe.join(regime).join(modes)

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        for column, direction in (("enter_long", 1), ("enter_short", -1)):
            enters = dataframe["am_direction"] == direction
            dataframe.loc[enters, column] = 1
            for mode in Mode:
                dataframe.loc[enters & (dataframe["am_mode"] == mode), "enter_tag"] = mode.tag
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return dataframe

    def custom_exit(
        self,
        pair: str,
        trade: Trade,
        current_time: datetime,
        current_rate: float,
        current_profit: float,
        **kwargs: Any,
    ) -> str | None:
        candle = self._last_candle(pair)
        if candle is None:
            return None
        age = (current_time - trade.date_last_filled_utc).total_seconds()
        return exit_reason(
            direction=-1 if trade.is_short else 1,
            age_candles=age / timeframe_seconds(self.timeframe),
            prediction=candle[PREDICTION],
            trusted=candle["do_predict"] == 1,
            deviation_z=candle["am_deviation_z"],
            mode=trade.enter_tag or "",
            modes=self.settings.modes,
            exits=self.settings.exits,
        )

    def custom_stake_amount(
        self,
        pair: str,
        current_time: datetime,
        current_rate: float,
        proposed_stake: float,
        min_stake: float | None,
        max_stake: float,
        **kwargs: Any,
    ) -> float:
        candle = self._last_candle(pair)
        if candle is None:
            return 0
        fraction = stake_fraction(candle[PREDICTION], candle["am_volatility"], self.settings.sizing)
        return min(max(proposed_stake * fraction, min_stake or 0), max_stake)

    def leverage(
        self,
        pair: str,
        current_time: datetime,
        current_rate: float,
        proposed_leverage: float,
        max_leverage: float,
        **kwargs: Any,
    ) -> float:
        candle = self._last_candle(pair)
        if candle is None:
            return 1
        return leverage_for(candle["am_volatility"], max_leverage, self.settings.sizing)

    def _chosen_features(
        self, hook: Hook, dataframe: DataFrame, metadata: dict[str, Any], period: int | None = None
    ) -> DataFrame:
        return self.feature_set.add(feature_inputs(self, dataframe, metadata), hook, period)

    def _last_candle(self, pair: str) -> Any:
        """Return the newest closed candle; in a backtest the data provider hides later ones."""
        dataframe, _ = self.dp.get_analyzed_dataframe(pair, self.timeframe)
        return None if dataframe.empty else dataframe.iloc[-1]
