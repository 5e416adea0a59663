"""What the hooks of a strategy call: measures, modes, entries through the gate, exits, levels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
from freqtrade.enums import RunMode
from freqtrade.persistence import Trade
from freqtrade.strategy import AnnotationType, IStrategy, stoploss_from_open

from agent_market.bridge.accounts import KnownCloses, read_account, read_correlations
from agent_market.bridge.charts import chart_areas
from agent_market.bridge.levels import LevelWatch
from agent_market.bridge.side_inputs import SideInputs
from agent_market.bridge.track_record import with_older
from agent_market.decisions.budgets import BudgetFeed
from agent_market.decisions.degrade import degrade_levels, input_ages
from agent_market.decisions.entry import Signal, judge_stake, plan_entry
from agent_market.decisions.exits import Holding, exit_reason, stop_gain
from agent_market.decisions.modes import PRIORITY, choose_modes, measure_modes, mode_rule
from agent_market.decisions.regime import measure_regime
from agent_market.decisions.risk import Account, Allowed, Market, Refused, Verdict
from agent_market.decisions.skill import realized_skill
from agent_market.decisions.strategy_advice import StrategyAdvice
from agent_market.features.feature_set import FeatureSet
from agent_market.features.rolling import rolling_mean
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import AgentMarketSettings

logger = logging.getLogger(__name__)

_NOT_ANALYZED = Refused(("no candle: the pair was not analyzed yet",))
ROUNDING = 1.01  # an order's amount and rate are rounded after its stake was judged


class DecisionDesk:
    """
    The decisions of one strategy; its hooks hand over what Freqtrade hands them.

    Backtest, dry run and live take the same way through it. Only what has no past differs: live,
    the level also follows the clock between candles, and the kill switch is read.
    """

    def __init__(
        self,
        strategy: IStrategy,
        settings: AgentMarketSettings,
        prediction: str,
        feature_set: FeatureSet | None = None,
    ) -> None:
        """
        :param strategy: the strategy, not yet with wallets or data provider
        :param settings: the section `agent_market`
        :param prediction: column of the predicted forward return
        :param feature_set: what the strategy's features read
        """
        config = strategy.config
        self.settings = settings
        self.timeframe = config.get("timeframe", strategy.timeframe)
        self.is_live = config.get("runmode") in (RunMode.DRY_RUN, RunMode.LIVE)
        self._strategy, self._prediction = strategy, prediction
        self._advice = StrategyAdvice(settings, self.timeframe, live=self.is_live)
        self._budgets = BudgetFeed(settings, self.timeframe, live=self.is_live)
        self._closes = KnownCloses(self.timeframe)
        self._inputs = SideInputs(strategy, settings.degrade, self.timeframe, feature_set)
        self._levels = LevelWatch(
            self._inputs.budgets, settings.degrade.recovery_candles, self.timeframe
        )
        self._changes: list[str] = []
        self._leverage: dict[str, float] = {}
        self._refused: dict[str, tuple[str, ...]] = {}

    @property
    def scales_in(self) -> bool:
        """Whether a mode enters in steps, which the host asks about for every open trade."""
        rules = [mode_rule(self.settings.modes, mode.tag) for mode in PRIORITY]
        return any(len(rule.scale_in) > 1 for rule in rules if rule.enabled)

    def informative_candles(self, pairs: list[str]) -> list[tuple[str, str, str]]:
        """
        Return the candles that a live bot must load for the decisions.
        :param pairs: the traded pairs
        """
        return self._inputs.informative_candles(pairs)

    def measure(self, frame: pd.DataFrame, metadata: Mapping[str, Any]) -> pd.DataFrame:
        """
        Return the frame with everything that the modes look at, columns `am_*`.
        :param frame: candles with FreqAI's prediction and `do_predict`
        :param metadata: names the pair
        """
        self._closes.keep(metadata["pair"], frame)
        self._budgets.load()
        regime = measure_regime(frame, self.settings.regime)
        funding, ages = self._inputs.read(frame, metadata)
        measures = measure_modes(frame, self.settings.modes, self.timeframe, funding)
        prediction = frame[self._prediction].astype(float)
        stands = (frame["do_predict"] == 1) & prediction.notna()
        ages = input_ages(frame, stands, self.timeframe).join(ages)
        window = self.settings.regime.window_candles
        levels = degrade_levels(ages, self._inputs.budgets, self.settings.degrade.recovery_candles)
        trusted = stands & (frame.get("abstain", 0) != 1)
        own = {
            "am_prediction": prediction,
            "am_trusted": trusted,
            "am_quote_volume": rolling_mean(frame["volume"] * frame["close"], window),
            "am_level": self._levels.in_force(metadata["pair"], frame["date"], levels),
        }
        advice = self._advice.columns(metadata["pair"], frame["date"])
        switches = self._advice.switches(frame["date"], [mode.tag for mode in PRIORITY])
        return pd.concat(
            [
                frame,
                regime,
                measures,
                pd.DataFrame(own, index=frame.index),
                self._skill(frame, prediction.where(trusted), metadata["pair"]),
                ages.add_prefix("am_age_"),
                advice,
                switches.add_prefix("am_switch_"),
            ],
            axis=1,
        )

    def _skill(self, frame: pd.DataFrame, trusted: pd.Series, pair: str) -> pd.Series:
        """Return `am_skill`: how surely predictions came true before each candle's day."""
        modes = self.settings.modes
        if modes.min_skill_t is None:
            return pd.Series(float("nan"), index=frame.index, name="am_skill")
        record = frame[["date", "close"]].assign(prediction=trusted)
        if self.is_live:
            record = with_older(record, self._strategy, pair, self._prediction)
        horizon = self._strategy.config["freqai"]["feature_parameters"]["label_period_candles"]
        skill = realized_skill(
            record, horizon, self.timeframe, modes.skill_days, modes.skill_min_days
        )
        return pd.Series(skill.to_numpy()[-len(frame) :], index=frame.index, name="am_skill")

    def choose(self, frame: pd.DataFrame, **thresholds: float) -> pd.DataFrame:
        """
        Return the frame with mode, direction, entry signals and entry tags.
        :param frame: of `measure`
        :param thresholds: keys of `agent_market.modes` that hyperopt sets
        """
        modes = self.settings.modes.model_copy(update=thresholds)
        switches = frame.filter(like="am_switch_")
        switches.columns = switches.columns.str.removeprefix("am_switch_")
        sure_at = self.settings.sizing.full_confidence_bps
        chosen = choose_modes(frame, modes, sure_at, switches)
        enters = chosen["am_direction"] != 0
        tags = chosen["am_mode"].map({int(mode): mode.tag for mode in PRIORITY})
        return frame.assign(  # over what is there: some analyses hand over their own result
            am_mode=chosen["am_mode"],
            am_direction=chosen["am_direction"],
            am_score=chosen["am_score"],
            enter_long=(chosen["am_direction"] == 1).astype(int),
            enter_short=(chosen["am_direction"] == -1).astype(int),
            enter_tag=tags.where(enters),
        )

    def annotations(self, pair: str, frame: pd.DataFrame) -> list[AnnotationType]:
        """
        Return what FreqUI draws over the candles.
        :param pair: the pair
        :param frame: the candles shown, of `choose`
        """
        levels = self._levels.in_force(pair, frame["date"], frame["am_level"])
        return chart_areas(frame, levels, self.timeframe)

    def leverage(self, pair: str, at: datetime, side: str, tag: str | None, most: float) -> float:
        """
        Return the leverage that sizing wants and the gate allows; 1 where it refuses.
        :param pair, at, side, tag: of Freqtrade's hook
        :param most: the exchange's
        """
        stake = self._strategy.wallets.get_total_stake_amount()
        wanted = {"full_stake": stake, "max_leverage": most}
        verdict = self._closed(pair, tag, lambda: self._plan(pair, at, side, tag, **wanted))
        self._leverage[pair] = verdict.leverage if isinstance(verdict, Allowed) else 1.0
        return self._leverage[pair]

    def stake(self, pair: str, at: datetime, side: str, tag: str | None, **wanted: float) -> float:
        """
        Return the stake that sizing wants and the gate allows; 0, with the reason in the log, else.
        :param pair, at, side, tag: of Freqtrade's hook
        :param wanted: `full_stake`, `max_leverage` (that of the entry), `min_stake`, `max_stake`
        """
        self._leverage[pair] = wanted["max_leverage"]
        wanted["share"] = mode_rule(self.settings.modes, tag or "").scale_in[0]
        verdict = self._closed(pair, tag, lambda: self._plan(pair, at, side, tag, **wanted))
        return self._log(pair, tag, verdict)

    def confirms(
        self, pair: str, at: datetime, side: str, tag: str | None, notional: float
    ) -> bool:
        """
        Return whether the gate still takes the order as it is about to be placed.
        :param pair, at, side, tag: of Freqtrade's hook
        :param notional: amount times rate
        """
        verdict = self._closed(pair, tag, lambda: self._order(pair, at, side, tag, notional))
        return self._log(pair, tag, verdict) > 0

    def added_stake(
        self, trade: Trade, at: datetime, gain: float, min_stake: float, max_stake: float
    ) -> float | None:
        """
        Return what the next step of scaling in adds to a trade, None for nothing.
        :param trade: the open trade
        :param at: now
        :param gain: its profit ratio
        :param min_stake, max_stake: the exchange's
        """
        pair, tag = trade.pair, trade.enter_tag
        steps, done = self._steps(trade), trade.nr_of_successful_entries
        candle = self._last_candle(pair)
        if candle is None or trade.has_open_orders or not 0 < done < len(steps) or not gain > 0:
            return None
        if candle.get("enter_tag") != tag or _direction(trade) != candle["am_direction"]:
            return None
        bounds = {"min_stake": min_stake, "max_stake": max_stake}
        verdict = self._closed(pair, tag, lambda: self._next_step(trade, candle, at, **bounds))
        return self._log(pair, tag, verdict) or None

    def exit_reason(
        self, trade: Trade, at: datetime, profit: float, edge_bps: float, max_candles: int
    ) -> str | None:
        """
        Return why a trade should be closed now, None to hold it.
        :param trade: the open trade
        :param at: now
        :param profit: its profit ratio, with leverage
        :param edge_bps: what hyperopt, or the configuration, says of `modes.entry_edge_bps`
        :param max_candles: and of `exits.max_holding_candles`
        """
        candle = self._last_candle(trade.pair)
        if candle is None:
            return None
        rule = mode_rule(self.settings.modes, trade.enter_tag or "")
        modes = self.settings.modes.model_copy(update={"entry_edge_bps": edge_bps})
        exits = self.settings.exits.model_copy(update={"max_holding_candles": max_candles})
        return exit_reason(self._holding(trade, candle, at, profit), rule, modes, exits)

    def stop(self, trade: Trade, at: datetime, profit: float) -> float | None:
        """
        Return where the stop stands, relative to the present rate as Freqtrade wants it, or None.
        :param trade: the open trade
        :param at: now
        :param profit: its profit ratio, with leverage
        """
        rule = mode_rule(self.settings.modes, trade.enter_tag or "")
        if rule.stop_bps is None and rule.trailing_bps is None:
            return None
        candle = self._last_candle(trade.pair)
        if candle is None:
            return None
        gain = stop_gain(self._holding(trade, candle, at, profit), rule)
        if gain is None:
            return None
        relative = gain * trade.leverage
        return float(stoploss_from_open(relative, profit, trade.is_short, trade.leverage))

    def observe(self, now: datetime) -> list[str]:
        """
        Return what changed since the last look, for the log and for people; nothing in a backtest.

        Reads bias and event mode, and lets the level of each pair follow the clock.
        :param now: the moment
        """
        if not self.is_live:
            return []
        news = self._advice.refresh(now)
        if change := self._budgets.refresh(now):
            news.append(change)
        for pair in self._strategy.dp.current_whitelist():
            candle = self._last_candle(pair)
            if candle is None:
                continue
            self._watch(pair, candle, now)
        news, self._changes = [*news, *self._changes], []
        return news

    def _plan(
        self,
        pair: str,
        at: datetime,
        side: str,
        tag: str | None,
        *,
        full_stake: float,
        max_leverage: float,
        **more: float,
    ) -> Verdict:
        candle = self._last_candle(pair)
        if candle is None:
            return _NOT_ANALYZED
        signal = self._signal(candle, pair, side, tag, full_stake, max_leverage, **more)
        return plan_entry(signal, *self._snapshots(candle, pair, at), self.settings)

    def _order(
        self, pair: str, at: datetime, side: str, tag: str | None, notional: float
    ) -> Verdict:
        """Return the verdict on an order as it is about to be placed; no cap may bind."""
        candle = self._last_candle(pair)
        if candle is None:
            return _NOT_ANALYZED
        leverage = self._leverage.get(pair, 1.0)
        signal = self._signal(candle, pair, side, tag, notional / leverage, leverage)
        account, market = self._snapshots(candle, pair, at)
        verdict = judge_stake(
            signal, notional / leverage / ROUNDING, leverage, account, market, self.settings
        )
        if isinstance(verdict, Allowed) and verdict.caps:
            return Refused(tuple(f"{cap}: the order is over it" for cap in verdict.caps))
        return verdict

    def _next_step(self, trade: Trade, candle: pd.Series, at: datetime, **bounds: float) -> Verdict:
        """Return the verdict on the next step of scaling in, at the leverage that the trade has."""
        steps, done, leverage = self._steps(trade), trade.nr_of_successful_entries, trade.leverage
        side, full = ("short" if trade.is_short else "long"), trade.stake_amount / sum(steps[:done])
        signal = self._signal(candle, trade.pair, side, trade.enter_tag, full, leverage, **bounds)
        account, market = self._snapshots(candle, trade.pair, at)
        verdict = judge_stake(signal, full * steps[done], leverage, account, market, self.settings)
        if isinstance(verdict, Allowed) and verdict.leverage < leverage:
            reason = f"the trade has {leverage:g}, allowed are {verdict.leverage:g} now"
            return Refused((f"leverage: {reason}",))
        return verdict

    def _steps(self, trade: Trade) -> tuple[float, ...]:
        return mode_rule(self.settings.modes, trade.enter_tag or "").scale_in

    def _closed(self, pair: str, tag: str | None, judge: Callable[[], Verdict]) -> Verdict:
        """Return the verdict; a gate that fails is closed.

        The host takes a hook that raises for one that agrees to its own stake.
        """
        try:
            return judge()
        except Exception as error:
            logger.exception("%s %s: the gate failed", pair, tag)
            return Refused((f"gate: {error!r}",))

    def _signal(
        self,
        candle: pd.Series,
        pair: str,
        side: str,
        tag: str | None,
        full_stake: float,
        max_leverage: float,
        **more: float,
    ) -> Signal:
        parameters = self._strategy.config["freqai"]["feature_parameters"]
        prediction = float(candle["am_prediction"]) if candle["am_trusted"] else float("nan")
        return Signal(
            pair=pair,
            direction=-1 if side == "short" else 1,
            mode=tag or "",
            prediction=prediction,
            horizon_candles=float(parameters["label_period_candles"]),
            full_stake=full_stake,
            max_leverage=max_leverage,
            position_multiplier=candle["am_bias_position"] * candle["am_event_position"],
            leverage_multiplier=candle["am_event_leverage"],
            leverage_bound=candle["am_bias_leverage"],
            is_switched_on=candle.get(f"am_switch_{tag}", 0) > 0,
            **more,
        )

    def _watch(self, pair: str, candle: pd.Series, now: datetime) -> None:
        if change := self._levels.observe(pair, candle, now):
            self._changes.append(change.message(pair))
            logger.warning("%s", change.message(pair))

    def _snapshots(self, candle: pd.Series, pair: str, at: datetime) -> tuple[Account, Market]:
        if self.is_live:  # the candle may be newer than the last look
            self._watch(pair, candle, at)
        length = timeframe_seconds(self.timeframe)
        close = (candle["date"] + pd.Timedelta(seconds=length)).to_pydatetime()
        budgets = self._budgets.at(close)
        account = replace(
            read_account(self._strategy, self.settings, at, self._closes, live=self.is_live),
            engine_shares=budgets.shares,
            budget_fault=budgets.fault,
        )
        others = [trade.pair for trade in account.open_trades]
        window = self.settings.regime.window_candles
        funding = candle["am_funding_bps"]
        market = Market(
            now=at,
            candle_close=close,
            candle_seconds=float(length),
            level=self._levels.level(pair, candle),
            volatility=float(candle["am_volatility"]),
            quote_volume=float(candle["am_quote_volume"]),
            funding_bps=None if pd.isna(funding) else float(funding),
            correlations=read_correlations(self._closes, at, pair, others, window),
        )
        return account, market

    def _holding(self, trade: Trade, candle: pd.Series, at: datetime, profit: float) -> Holding:
        age = (at - trade.date_last_filled_utc).total_seconds()
        return Holding(
            direction=_direction(trade),
            age_candles=age / timeframe_seconds(self.timeframe),
            gain=profit / (trade.leverage or 1.0),
            prediction=float(candle["am_prediction"]),
            trusted=bool(candle["am_trusted"]),
            deviation_z=float(candle["am_deviation_z"]),
            trend=float(candle["am_trend"]),
            funding_bps=float(candle["am_funding_bps"]),
            level=self._levels.level(trade.pair, candle),
            take_profit_multiplier=float(candle["am_bias_take_profit"]),
            stop_multiplier=float(candle["am_bias_stop"]),
        )

    def _log(self, pair: str, tag: str | None, verdict: Verdict) -> float:
        """Return the stake, 0 for a refusal; log a refusal once, until its kind changes."""
        if isinstance(verdict, Allowed):
            self._refused.pop(pair, None)
            if verdict.caps:
                logger.debug("%s %s: cut by %s", pair, tag, ", ".join(verdict.caps))
            return verdict.stake
        kinds = tuple(reason.split(":")[0] for reason in verdict.reasons)
        if self._refused.get(pair) != kinds:
            logger.info("%s %s refused: %s", pair, tag, "; ".join(verdict.reasons))
        self._refused[pair] = kinds
        return 0.0

    def _last_candle(self, pair: str) -> pd.Series | None:
        """Return the newest closed candle; in a backtest the data provider hides later ones."""
        frame, _ = self._strategy.dp.get_analyzed_dataframe(pair, self.timeframe)
        return None if frame.empty else frame.iloc[-1]


def _direction(trade: Trade) -> int:
    return -1 if trade.is_short else 1
