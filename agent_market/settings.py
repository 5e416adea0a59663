"""Section `agent_market` of the Freqtrade configuration: every key, its default and its bounds.

Defaults are written here and nowhere else. An unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent_market.errors import ConfigError

PolicyName = Literal["exact", "ppo", "cql", "imitation"]
SimulatedTimeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d"]


class Section(BaseModel):
    """Base of every settings model: immutable, and unknown keys are refused."""

    # an address may hold a password: pydantic's own message, which a traceback shows, leaves it out
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PlantedAlphaSettings(Section):
    """Strength of each signal that the simulator plants, as an information coefficient, 0..0.5.

    The coefficient is the correlation of the signal at a candle's close with the return over the
    signal's own horizon: 15 minutes for `order_flow`, an hour for `regime` and `news`, 8 hours for
    `crowding`. 0 plants nothing. `docs/simulator.md` describes the signals.
    """

    order_flow: float = Field(default=0.18, ge=0, le=0.5)
    regime: float = Field(default=0.15, ge=0, le=0.5)
    news: float = Field(default=0.05, ge=0, le=0.5)
    crowding: float = Field(default=0.0, ge=0, le=0.5)


class SimulatorSettings(Section):
    """The embedded market: what the simulator makes from one seed.

    pairs : USDT-M perpetuals, each as `BTC/USDT:USDT`; adding one leaves the others as they are.
    timeframes : of the candle files; funding and mark prices are always written.
    detail_days : days at the end for which single trades and order books are stored as well.
    no_alpha : plant nothing, and leave every other draw as it is.
    """

    seed: int = Field(default=7, ge=0)
    pairs: tuple[str, ...] = Field(
        default=(
            "BTC/USDT:USDT",
            "ETH/USDT:USDT",
            "LTC/USDT:USDT",
            "SOL/USDT:USDT",
            "XRP/USDT:USDT",
            "DOGE/USDT:USDT",
        ),
        min_length=1,
    )
    start: date = date(2025, 1, 1)
    days: int = Field(default=181, ge=1, le=3660)
    timeframes: tuple[SimulatedTimeframe, ...] = Field(default=("1m", "5m", "1h"), min_length=1)
    detail_days: int = Field(default=1, ge=0)
    alpha: PlantedAlphaSettings = PlantedAlphaSettings()
    no_alpha: bool = False


class MarketSettings(Section):
    """Where candles come from.

    source : `exchange` lets `freqtrade download-data` fetch them; `simulator` makes the embedded
        market in `datadir`; `directory` uses the Freqtrade data directory `datadir` as it is.
    """

    source: Literal["exchange", "simulator", "directory"] = "exchange"
    datadir: Path | None = None
    simulator: SimulatorSettings = SimulatorSettings()


class FaultSettings(Section):
    """What the replay exchange does wrong on purpose; every share is 0..1, 0 turns it off.

    endpoints : whose REST requests go wrong, such as `klines` or `fundingRate`; empty: all.
    error_share : of REST requests answered 503.
    rate_limit_share : of REST requests answered 429 with `Retry-After: retry_after_seconds`.
    timeout_share : of REST requests answered only after `timeout_seconds`.
    cut_share : of REST requests whose connection is cut in the middle of the answer.
    socket_cuts_per_minute : how often each WebSocket connection is cut, on average.
    late_candle_share : of candles shown as closed only `late_candle_seconds` after their close.
    duplicate_candle_share, missing_candle_share : of candles sent twice, or never.
    """

    seed: int = Field(default=7, ge=0)
    endpoints: tuple[str, ...] = ()
    error_share: float = Field(default=0, ge=0, le=1)
    rate_limit_share: float = Field(default=0, ge=0, le=1)
    retry_after_seconds: int = Field(default=5, ge=0)
    timeout_share: float = Field(default=0, ge=0, le=1)
    timeout_seconds: float = Field(default=15, ge=0)
    cut_share: float = Field(default=0, ge=0, le=1)
    socket_cuts_per_minute: float = Field(default=0, ge=0)
    late_candle_share: float = Field(default=0, ge=0, le=1)
    late_candle_seconds: float = Field(default=20, ge=0)
    duplicate_candle_share: float = Field(default=0, ge=0, le=1)
    missing_candle_share: float = Field(default=0, ge=0, le=1)


class ReplaySettings(Section):
    """The replay exchange that stands in for Binance on this machine.

    port : 0 takes any free one.
    clock : `live` moves history to now and lets it go on; `as-stored` shows it as it is.
    reserve_days : history kept ahead of now in `live`; None: 10 % of the span, at most 30 days.
    epoch : the moment to which `live` fits the history; None: the start of the server. A restart
        within the reserve mostly serves the same history; pin the epoch to be sure.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8480, ge=0, le=65535)
    clock: Literal["as-stored", "live"] = "live"
    reserve_days: float | None = Field(default=None, ge=0)
    epoch: datetime | None = None
    faults: FaultSettings = FaultSettings()


class RegimeSettings(Section):
    """When the market counts as trending, ranging or shocked.

    window_candles : length of every measure.
    trend_efficiency : net move over path length from which on the market trends, 0..1.
    shock_z : a candle's move, in standard deviations of those before it, that makes a shock.
    shock_memory_candles : how long a shock lasts.
    turbulence : volatility of the last quarter of the window over that of the whole, from which on
        the market is turbulent.
    filter : `thresholds` as above, or `hidden_markov`: the most probable state of a hidden Markov
        chain, filtered over the window.
    stay : probability that the hidden state of one candle is that of the candle before.
    """

    window_candles: int = Field(default=72, ge=10, le=2000)
    trend_efficiency: float = Field(default=0.25, gt=0, lt=1)
    shock_z: float = Field(default=4.0, gt=0)
    shock_memory_candles: int = Field(default=6, ge=1)
    turbulence: float = Field(default=1.3, gt=1)
    filter: Literal["thresholds", "hidden_markov"] = "thresholds"
    stay: float = Field(default=0.98, gt=0.25, lt=1)


RegimeName = Literal["unknown", "range", "trend", "shock"]
LevelName = Literal["full", "price-only", "rules"]
EntryRule = Literal[
    "with_trend", "against_deviation", "range_break", "against_crowd", "after_event"
]
ExitRule = Literal["time_stop", "prediction_reversed", "mean_reached", "trend_ended", "crowd_gone"]


class ModeRule(Section):
    """One mode of the hybrid strategy, as data; `docs/strategy.md` describes the rules by name.

    regimes, turbulence, levels : where the mode may enter: the regime, the state of volatility, and
        the degrade level.
    entry : rule that gives the direction; the prediction has to agree with it.
    exits : rules, any of which closes a trade.
    needs_prediction : at level `rules` there is none, and only modes that need none enter.
    min_score : smallest direction score (prediction over `sizing.full_confidence_bps`), 0..1.
    multiplier : of the stake. max_leverage : of the mode, within `risk.max_leverage`.
    take_profit_bps, stop_bps : move of the price since the entry that closes a trade.
    trailing_bps : distance of the stop that follows the price, from a gain of `trailing_start_bps`
        on.
    max_holding_candles : None for `exits.max_holding_candles`.
    cooldown_candles : after a trade of this mode in a pair, before its next one.
    scale_in : shares of the stake, entered one by one while the mode still asks for the direction
        and the trade gains; their sum is at most 1.
    engine : whose share of the capital the mode's stakes take (`risk.macro_share` and so on).
    """

    enabled: bool = True
    regimes: tuple[RegimeName, ...] = ("range", "trend", "shock")
    turbulence: Literal["any", "calm", "turbulent"] = "any"
    levels: tuple[LevelName, ...] = ("full", "price-only")
    entry: EntryRule = "with_trend"
    exits: tuple[ExitRule, ...] = ("time_stop", "prediction_reversed")
    needs_prediction: bool = True
    min_score: float = Field(default=0.0, ge=0, le=1)
    multiplier: float = Field(default=1.0, ge=0, le=2)
    max_leverage: float = Field(default=3.0, ge=1, le=125)
    take_profit_bps: float | None = Field(default=None, gt=0)
    stop_bps: float | None = Field(default=None, gt=0)
    trailing_bps: float | None = Field(default=None, gt=0)
    trailing_start_bps: float = Field(default=0.0, ge=0)
    max_holding_candles: int | None = Field(default=None, ge=1)
    cooldown_candles: int = Field(default=0, ge=0)
    scale_in: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(1.0,), min_length=1)
    engine: Literal["macro", "intraday"] = "intraday"

    @field_validator("scale_in")
    @classmethod
    def _is_one_stake(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if sum(shares) > 1 + 1e-9:
            raise ValueError("adds up to more than 1, the whole stake")
        return shares


class TrendMode(ModeRule):
    """Goes with the move of a trending market."""

    regimes: tuple[RegimeName, ...] = ("trend",)


class MeanReversionMode(ModeRule):
    """Goes against the deviation of a ranging market, for as long as the prediction stands."""

    regimes: tuple[RegimeName, ...] = ("range",)
    entry: EntryRule = "against_deviation"
    min_score: float = Field(default=0.6, ge=0, le=1)


class BreakoutMode(ModeRule):
    """Goes with a shock that leaves the previous range."""

    regimes: tuple[RegimeName, ...] = ("shock",)
    entry: EntryRule = "range_break"


class SqueezeMode(ModeRule):
    """Goes against a crowd that pays high funding, once the price turns against it."""

    levels: tuple[LevelName, ...] = ("full",)
    entry: EntryRule = "against_crowd"
    exits: tuple[ExitRule, ...] = ("time_stop", "prediction_reversed", "crowd_gone")
    multiplier: float = Field(default=0.7, ge=0, le=2)
    max_leverage: float = Field(default=2.0, ge=1, le=125)
    stop_bps: float | None = Field(default=150.0, gt=0)
    trailing_bps: float | None = Field(default=80.0, gt=0)
    trailing_start_bps: float = Field(default=120.0, ge=0)
    cooldown_candles: int = Field(default=12, ge=0)


class EventMode(ModeRule):
    """Goes with the first move after a scheduled release, in two steps."""

    levels: tuple[LevelName, ...] = ("full",)
    entry: EntryRule = "after_event"
    multiplier: float = Field(default=0.7, ge=0, le=2)
    max_leverage: float = Field(default=2.0, ge=1, le=125)
    stop_bps: float | None = Field(default=120.0, gt=0)
    take_profit_bps: float | None = Field(default=200.0, gt=0)
    max_holding_candles: int | None = Field(default=24, ge=1)
    cooldown_candles: int = Field(default=24, ge=0)
    scale_in: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.6, 0.4), min_length=1
    )
    engine: Literal["macro", "intraday"] = "macro"


class DefensiveMode(ModeRule):
    """What is left below a trusted prediction: small, unleveraged, with the move."""

    regimes: tuple[RegimeName, ...] = ("trend",)
    turbulence: Literal["any", "calm", "turbulent"] = "calm"
    levels: tuple[LevelName, ...] = ("rules",)
    exits: tuple[ExitRule, ...] = ("time_stop", "prediction_reversed", "trend_ended")
    needs_prediction: bool = False
    multiplier: float = Field(default=0.5, ge=0, le=2)
    max_leverage: float = Field(default=1.0, ge=1, le=125)
    stop_bps: float | None = Field(default=100.0, gt=0)
    cooldown_candles: int = Field(default=24, ge=0)
    engine: Literal["macro", "intraday"] = "macro"


class LongShotMode(ModeRule):
    """A small bet of high leverage on an extreme breakout, out of a budget of its own; off."""

    enabled: bool = False
    regimes: tuple[RegimeName, ...] = ("shock",)
    turbulence: Literal["any", "calm", "turbulent"] = "turbulent"
    levels: tuple[LevelName, ...] = ("full",)
    entry: EntryRule = "range_break"
    min_score: float = Field(default=1.0, ge=0, le=1)
    multiplier: float = Field(default=0.2, ge=0, le=2)
    max_leverage: float = Field(default=10.0, ge=1, le=125)
    take_profit_bps: float | None = Field(default=400.0, gt=0)
    stop_bps: float | None = Field(default=60.0, gt=0)
    cooldown_candles: int = Field(default=288, ge=0)


class ModeSettings(Section):
    """The modes, and what they measure by.

    window_candles : of the mean, the deviation and the range that breakouts leave.
    deviation_z : distance from the mean, in standard deviations, that mean reversion asks for.
    entry_edge_bps : predicted return that every entry asks for; keep it above the round-trip cost.
    crowded_funding_bps : funding rate of a settlement from which on one side is crowded.
    event_before_minutes : before a scheduled release nothing is entered.
    event_after_minutes : how long after a release the event mode may enter.
    min_skill_t : Student's t of what following the predictions of the last `skill_days` days would
        have made before costs, below which no prediction is followed; fewer than `skill_min_days`
        with outcomes forbid nothing. None: not asked for.
    """

    window_candles: int = Field(default=72, ge=10, le=2000)
    deviation_z: float = Field(default=1.0, ge=0)
    entry_edge_bps: float = Field(default=12.0, ge=0)
    crowded_funding_bps: float = Field(default=3.0, gt=0)
    event_before_minutes: float = Field(default=30.0, ge=0, le=1440)
    event_after_minutes: float = Field(default=120.0, ge=0, le=1440)
    min_skill_t: float | None = Field(default=0.5)
    skill_days: int = Field(default=28, ge=2)
    skill_min_days: int = Field(default=14, ge=2)
    trend: TrendMode = TrendMode()
    mean_reversion: MeanReversionMode = MeanReversionMode()
    breakout: BreakoutMode = BreakoutMode()
    squeeze: SqueezeMode = SqueezeMode()
    event: EventMode = EventMode()
    defensive: DefensiveMode = DefensiveMode()
    long_shot: LongShotMode = LongShotMode()


class SizingSettings(Section):
    """Stake and leverage.

    target_volatility_bps : candle volatility at which a full stake at leverage 1 is put on.
    full_confidence_bps : predicted return from which on the stake is full.
    floor : smallest share of a full stake, before the caps.
    leverage_buckets : the leverages that may be used; where none fits a cap, it is 1.
    kelly_fraction : of the growth-optimal exposure that a trade may take at most.
    cost_bps : round-trip cost that is taken off the prediction for the Kelly cap.
    max_bias_multiplier : a bias may multiply a stake by so much at most.
    """

    target_volatility_bps: float = Field(default=25.0, gt=0)
    full_confidence_bps: float = Field(default=30.0, gt=0)
    floor: float = Field(default=0.2, ge=0, le=1)
    leverage_buckets: tuple[float, ...] = (1.0, 2.0, 3.0)
    kelly_fraction: float = Field(default=0.5, gt=0, le=1)
    cost_bps: float = Field(default=10.0, ge=0)
    max_bias_multiplier: float = Field(default=2.0, ge=1, le=10)


class ExitSettings(Section):
    """When a trade has had its time."""

    max_holding_candles: int = Field(default=48, ge=1)


class RiskSettings(Section):
    """What no entry may exceed; `docs/risk.md` says how each is measured.

    max_daily_drawdown, max_drawdown : loss since midnight UTC, and since the highest equity of the
        last `drawdown_days`, as shares; at either nothing is entered.
    losing_streak : losing trades in a row after which nothing is entered for
        `losing_streak_cooldown_minutes`.
    max_exposure, max_pair_exposure : stakes times leverage over equity, of all trades and of one
        pair.
    max_correlated_exposure : the same, with every other trade weighted by the correlation of its
        return with the new one's.
    max_leverage : of any trade but those of `long_shot`, whose own stands.
    max_leveraged_volatility_bps : leverage times candle volatility.
    thin_volume : quote currency traded a candle below which there is no leverage.
    max_volume_share : of the quote currency traded a candle that a position may be.
    max_funding_bps : a settlement that a new trade may have to pay.
    macro_share, intraday_share : of equity that the stakes of each engine's modes may take; the
        parameter store may lower them.
    long_shot_budget : share of equity that open and lost stakes of `long_shot` may take together.
    kill_switch_file : while it exists nothing is entered; None: `KILL` in the state directory.
    """

    max_daily_drawdown: float = Field(default=0.05, gt=0, le=1)
    max_drawdown: float = Field(default=0.20, gt=0, le=1)
    drawdown_days: float = Field(default=30.0, gt=0, le=3660)
    losing_streak: int = Field(default=6, ge=1)
    losing_streak_cooldown_minutes: float = Field(default=240.0, ge=0)
    max_exposure: float = Field(default=3.0, gt=0)
    max_pair_exposure: float = Field(default=1.5, gt=0)
    max_correlated_exposure: float = Field(default=2.5, gt=0)
    max_leverage: float = Field(default=5.0, ge=1, le=125)
    max_leveraged_volatility_bps: float = Field(default=100.0, gt=0)
    thin_volume: float = Field(default=1_000.0, ge=0)
    max_volume_share: float = Field(default=0.5, gt=0)
    max_funding_bps: float = Field(default=10.0, ge=0)
    macro_share: float = Field(default=0.5, ge=0, le=1)
    intraday_share: float = Field(default=1.0, ge=0, le=1)
    long_shot_budget: float = Field(default=0.02, ge=0, le=1)
    kill_switch_file: Path | None = None


class FreshnessSettings(Section):
    """How old each input may be before it counts as stale.

    candles : since the close of the last candle with trades; prediction : since the last trusted
        one. Both in candles of the strategy; one passes before the next can close.
    funding_hours, open_interest_hours, order_flow_hours, news_hours : since the newest row that was
        known.
    """

    candles: float = Field(default=3.0, ge=2)
    prediction: float = Field(default=3.0, ge=2)
    funding_hours: float = Field(default=17.0, gt=0)
    open_interest_hours: float = Field(default=2.0, gt=0)
    order_flow_hours: float = Field(default=0.5, gt=0)
    news_hours: float = Field(default=24.0, gt=0)


class DegradeSettings(Section):
    """What is left of the strategy when inputs are stale.

    recovery_candles : candles in a row that must be better before the level goes up again.
    price_only_stake, rules_stake : factors of the stake at these levels.
    """

    recovery_candles: int = Field(default=3, ge=0, le=50)
    price_only_stake: float = Field(default=0.5, ge=0, le=1)
    rules_stake: float = Field(default=0.5, ge=0, le=1)
    freshness: FreshnessSettings = FreshnessSettings()


class ConformalSettings(Section):
    """Prediction intervals that keep their coverage when the market changes.

    coverage : share of outcomes that `&-<target>_lo` and `_hi` are to enclose; None: no intervals.
    abstain_coverage : `abstain` is 1 where the interval of this coverage has 0 inside.
    adaptation_rate : step by which the level follows its own errors, for a label of one candle; a
        longer one has it divided by the root of its length.
    window_candles : errors that are remembered, each once its outcome is known.
    """

    coverage: float | None = Field(default=None, gt=0, lt=1)
    abstain_coverage: float = Field(default=0.05, gt=0, lt=1)
    adaptation_rate: float = Field(default=0.01, gt=0, lt=1)
    window_candles: int = Field(default=2000, ge=50)


class LearningSettings(Section):
    """How our FreqAI models train and predict.

    seed : of every fit, where `freqai.model_training_parameters` names none.
    workers : processes that train, one thread each; None: one a core.
    feature_cache : keep features on disk; turn it off if feature code reads files of its own that
        lie outside the data directory.
    max_missing_share : features of a row that may be NaN for a model that takes NaN, 0..1; a row
        with more is neither trained on nor predicted.
    max_missing_rows : rows in which a feature may be NaN before the feature, not its rows, is left
        out of a window, 0..1.
    training_deadline_minutes : after which a live training is given up.
    """

    seed: int = Field(default=7, ge=0)
    workers: int | None = Field(default=None, ge=1)
    feature_cache: bool = True
    max_missing_share: float = Field(default=0.2, ge=0, le=1)
    max_missing_rows: float = Field(default=0.3, gt=0, le=1)
    training_deadline_minutes: float = Field(default=60, gt=0)
    conformal: ConformalSettings = ConformalSettings()


class RlSettings(Section):
    """What RLTrader does with a policy's positions.

    leverage : of every trade, within what the exchange allows.
    """

    leverage: float = Field(default=1.0, ge=1)


class ExpressionSettings(Section):
    """How alpha expressions are evaluated.

    memory_mb : that values in use, and values kept for what comes next, may take together.
    """

    memory_mb: int = Field(default=1024, ge=64)


class LlmSettings(Section):
    """The language model that agents may ask, over OpenAI's protocol.

    base_url : such as `http://127.0.0.1:8080/v1`; None: agents ask none, they search.
    api_key_env : name of the environment variable that holds the key; None: the server asks for
        none. The key itself never stands in a file.
    constraint : `auto` takes the strongest form of answer that the server offers.
    temperature : None leaves it to the server; some models refuse any.
    length_key : what the server calls `max_tokens`.
    timeout_seconds : after which an answer is cut, however much of it has come.
    tries : questions a round, the first included; the later ones say what was refused.
    budget_tokens, budget_seconds : of a whole campaign; then it goes on without a model.
    """

    base_url: str | None = None
    model: str = "default"
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$", max_length=64)
    constraint: Literal["auto", "grammar", "json_schema", "free"] = "auto"
    temperature: float | None = Field(default=0.8, ge=0, le=2)
    length_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_tokens: int = Field(default=600, ge=16, le=32_768)
    timeout_seconds: float = Field(default=60, gt=0, le=3600)
    tries: int = Field(default=2, ge=1, le=10)
    budget_tokens: int = Field(default=200_000, ge=1)
    budget_seconds: float = Field(default=1800, gt=0)

    @field_validator("base_url")
    @classmethod
    def _is_plain_address(cls, address: str | None) -> str | None:
        parts = urlsplit(address or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is not of the form https://host/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("holds a user, a password or a query: name the key by api_key_env")
        return address


class BiasSettings(Section):
    """What the strategy takes from a bias, and what `policy_adapter` writes into one.

    enabled : whether a bias is read at all.
    history : biases that a backtest replays, as `policy_adapter` recorded them; None: none.
    pinned : a bias that the configuration itself carries until it expires; see `docs/bias.md`.
    max_lifetime_minutes : a bias that lasts longer is ignored.
    max_position_multiplier, max_leverage : a pair's bias above them is ignored.
    min_exit_multiplier, max_exit_multiplier : of take-profit and stop; a bias outside is ignored.
    lifetime_minutes : of a bias that is written.
    edge_bps : predicted return below which the direction is 0.
    full_confidence_bps : predicted return from which on the confidence is 1.
    """

    enabled: bool = True
    history: Path | None = None
    pinned: dict[str, Any] | None = None
    max_lifetime_minutes: float = Field(default=1440, gt=0)
    max_position_multiplier: float = Field(default=1.5, ge=1)
    max_leverage: float = Field(default=3, ge=1)
    min_exit_multiplier: float = Field(default=0.5, gt=0, le=1)
    max_exit_multiplier: float = Field(default=2, ge=1)
    lifetime_minutes: float = Field(default=15, gt=0)
    edge_bps: float = Field(default=12, ge=0)
    full_confidence_bps: float = Field(default=30, gt=0)


class EventModeSettings(Section):
    """What the strategy takes from an event mode.

    enabled, history, pinned : as of a bias.
    max_hours : an event mode that lasts longer is ignored.
    max_position_multiplier, max_leverage_multiplier : an event mode above them is ignored.
    """

    enabled: bool = True
    history: Path | None = None
    pinned: dict[str, Any] | None = None
    max_hours: float = Field(default=72, gt=0)
    max_position_multiplier: float = Field(default=2, ge=1)
    max_leverage_multiplier: float = Field(default=2, ge=1)


class PatchSettings(Section):
    """From where on a patch of the configuration wants a person to agree.

    review_change : relative change of a number, 0..1.
    max_exposure : value of all positions over capital that the patched configuration allows.
    """

    review_change: float = Field(default=0.2, gt=0)
    max_exposure: float = Field(default=3, gt=0)


class RoundSettings(Section):
    """What `agent_flow.py run --rounds N` may cost, beside the budget of section `llm`.

    history_days : before the time range, on which features and expressions are found.
    feature_trials : feature sets that are tried, once a run.
    evaluations : expressions that search scores a round, where no language model is set.
    questions, proposals : to a model a round, and new expressions of each.
    seed : of search and model.
    """

    history_days: int = Field(default=90, ge=1)
    feature_trials: int = Field(default=10, ge=1)
    evaluations: int = Field(default=2000, ge=1)
    questions: int = Field(default=5, ge=1)
    proposals: int = Field(default=8, ge=1, le=50)
    seed: int = Field(default=7, ge=0)


class PolicyStepSettings(Section):
    """What `agent_flow.py run --rl` trains.

    policies : which.
    seeds : each is trained with the seeds 1 to N.
    cost_bps : fee and slippage of a fill, in training and after it.
    strategy : whose features and `&-gain` they learn from, whose stop-loss and ROI they have.
    """

    policies: tuple[PolicyName, ...] = Field(default=get_args(PolicyName), min_length=1)
    seeds: int = Field(default=3, ge=1)
    cost_bps: float = Field(default=6, ge=0)
    strategy: str = "RLTrader"


class FlowSettings(Section):
    """The durable flow.

    database_url : where its steps, and the patches of configurations, are recorded; None: SQLite
        below `state_dir`.
    summary_path : the newest backtest summary, read by agents and by people.
    rounds : of the steps `features` and `expressions`.
    rl : of the step `rl`.
    """

    database_url: str | None = None
    summary_path: Path = Path("user_data/llm_feedback/latest_backtest_summary.json")
    rounds: RoundSettings = RoundSettings()
    rl: PolicyStepSettings = PolicyStepSettings()


class LoopSettings(Section):
    """The schedule of `agent_flow.py loop`; `docs/flow.md` describes it.

    every : from one start to the next, such as `30m`, `4h` or `1d`, at round times of UTC.
    windows : FreqAI's backtest periods in the time range of a run; one more holds the newest
        candle, with a model trained up to it.
    retry_minutes : pause after a failed run, doubled with each one in a row, `every` at most.
    max_failures : failed runs in a row after which the loop ends.
    keep_runs : runs of the loop that are kept; older ones are removed with their models.
    """

    every: str = Field(default="4h", pattern=r"^[1-9]\d{0,3}[mhd]$")
    windows: int = Field(default=4, ge=1)
    retry_minutes: float = Field(default=5, gt=0)
    max_failures: int = Field(default=3, ge=1)
    keep_runs: int = Field(default=30, ge=2)


class StageLimits(Section):
    """What a stage of a release must show before the next one may begin; `docs/staged-release.md`.

    max_drawdown : share of equity; above it the stage is left at once, whatever the other figures.
    min_sharpe : annualized, of daily returns.
    min_sharpe_low : lower end of its 95 % block-bootstrap interval.
    min_hit_rate : share of closed trades with a profit.
    max_cost_share : fees and funding as a share of the profit before them.
    min_trades, min_days : closed trades and days of the stage below which nothing is judged but
        the drawdown. An interval needs ten days.
    """

    max_drawdown: float = Field(default=0.10, gt=0, le=1)
    min_sharpe: float = Field(default=1.0, allow_inf_nan=False)
    min_sharpe_low: float = Field(default=-2.0, allow_inf_nan=False)
    min_hit_rate: float = Field(default=0.40, ge=0, le=1)
    max_cost_share: float = Field(default=0.50, ge=0, allow_inf_nan=False)
    min_trades: int = Field(default=100, ge=1)
    min_days: float = Field(default=60, ge=10, allow_inf_nan=False)


class ReleaseSettings(Section):
    """Stages of a release, in their order; each one's limits are kept as they were at its start.

    paper : a dry run. small_paper : a dry run with the stakes of `small_live`. live_hints : a dry
        run on the live market, whose entries people only read. small_live : real orders; its
        limits promote to nothing, and break as the others do.
    seed : of the bootstrap.
    """

    paper: StageLimits = StageLimits()
    small_paper: StageLimits = StageLimits(max_drawdown=0.08, min_sharpe_low=-1, min_days=30)
    live_hints: StageLimits = StageLimits(max_drawdown=0.06, min_sharpe_low=0, min_days=30)
    small_live: StageLimits = StageLimits(max_drawdown=0.05, min_sharpe_low=0, min_days=30)
    seed: int = Field(default=7, ge=0)


class AgentMarketSettings(Section):
    """The whole section `agent_market`."""

    state_dir: Path = Path("user_data/agent_market")
    timerange: str | None = None
    market: MarketSettings = MarketSettings()
    replay: ReplaySettings = ReplaySettings()
    regime: RegimeSettings = RegimeSettings()
    modes: ModeSettings = ModeSettings()
    sizing: SizingSettings = SizingSettings()
    exits: ExitSettings = ExitSettings()
    risk: RiskSettings = RiskSettings()
    degrade: DegradeSettings = DegradeSettings()
    learning: LearningSettings = LearningSettings()
    rl: RlSettings = RlSettings()
    expressions: ExpressionSettings = ExpressionSettings()
    llm: LlmSettings = LlmSettings()
    bias: BiasSettings = BiasSettings()
    event_mode: EventModeSettings = EventModeSettings()
    patches: PatchSettings = PatchSettings()
    flow: FlowSettings = FlowSettings()
    loop: LoopSettings = LoopSettings()
    release: ReleaseSettings = ReleaseSettings()


FREQAI_FILES = {
    "feature_set_file": "freqai_features.json",
    "expressions_file": "freqai_expressions.json",
}
"""Files that features follow from: key in section `freqai`, and name in the user directory."""


def freqai_file(config: Mapping[str, Any], key: str) -> Path | None:
    """Return the file that `freqai.<key>` names, else the one of `FREQAI_FILES`.

    None where the merged Freqtrade configuration names neither file nor user directory.
    """
    given = config.get("freqai", {}).get(key)
    if given:
        return Path(given)
    userdir = config.get("user_data_dir")
    return None if userdir is None else Path(userdir) / FREQAI_FILES[key]


def load_settings(config: Mapping[str, Any]) -> AgentMarketSettings:
    """Return the validated section `agent_market` of a merged Freqtrade configuration.

    Raises
    ------
    ConfigError
        A key is unknown (the message names the nearest valid one) or a value is out of bounds.
    """
    try:
        return AgentMarketSettings.model_validate(config.get("agent_market", {}))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(detail["loc"], detail) for detail in error.errors())


def _explain_one(location: tuple[int | str, ...], detail: Any) -> str:
    key = ".".join(["agent_market", *map(str, location)])
    if detail["type"] != "extra_forbidden":
        if location[:1] == ("llm",):  # somebody may have put a key or a password there
            return f"{key}: {detail['msg'].lower()}. Correct it in the config."
        return (
            f"{key}: {detail['msg'].lower()}, found {detail['input']!r}. Correct it in the config."
        )
    valid = _fields_at(AgentMarketSettings, location[:-1])
    nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.0)
    return (
        f"{key}: unknown key. Did you mean {nearest[0]!r}? Valid keys: {', '.join(sorted(valid))}."
    )


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
