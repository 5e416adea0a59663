"""Section `agent_market` of the Freqtrade configuration: every key, its default and its bounds.

Defaults are written here and nowhere else. An unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent_market.errors import ConfigError

SimulatedTimeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d"]


class Section(BaseModel):
    """Base of every settings model: immutable, and unknown keys are refused."""

    # an address may hold a password: pydantic's own message, which a traceback shows, leaves it out
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PlantedAlphaSettings(Section):
    """Strength of each signal that the simulator plants, as an information coefficient, 0..0.5.

    The coefficient is the correlation of the signal at a candle's close with the return over the
    signal's own horizon: 15 minutes for `order_flow`, an hour for `regime` and `news`. 0 plants
    nothing. `docs/simulator.md` describes the signals.
    """

    order_flow: float = Field(default=0.18, ge=0, le=0.5)
    regime: float = Field(default=0.15, ge=0, le=0.5)
    news: float = Field(default=0.05, ge=0, le=0.5)


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

    error_share : of REST requests answered 503.
    rate_limit_share : of REST requests answered 429 with `Retry-After: retry_after_seconds`.
    timeout_share : of REST requests answered only after `timeout_seconds`.
    cut_share : of REST requests whose connection is cut in the middle of the answer.
    socket_cuts_per_minute : how often each WebSocket connection is cut, on average.
    late_candle_share : of candles shown as closed only `late_candle_seconds` after their close.
    duplicate_candle_share, missing_candle_share : of candles sent twice, or never.
    """

    seed: int = Field(default=7, ge=0)
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
    """

    window_candles: int = Field(default=72, ge=10, le=2000)
    trend_efficiency: float = Field(default=0.25, gt=0, lt=1)
    shock_z: float = Field(default=4.0, gt=0)
    shock_memory_candles: int = Field(default=6, ge=1)


class ModeSettings(Section):
    """What each mode asks for before it enters.

    window_candles : of the mean, the deviation and the range that breakouts leave.
    deviation_z : distance from the mean, in standard deviations, that mean reversion asks for.
    entry_edge_bps : predicted return that every entry asks for; keep it above the round-trip cost.
    """

    window_candles: int = Field(default=72, ge=10, le=2000)
    deviation_z: float = Field(default=1.0, ge=0)
    entry_edge_bps: float = Field(default=12.0, ge=0)


class SizingSettings(Section):
    """Stake and leverage.

    target_volatility_bps : candle volatility at which a full stake at leverage 1 is put on.
    full_confidence_bps : predicted return from which on the stake is full.
    floor : smallest share of a full stake.
    leverage_buckets : the leverages that may be used.
    """

    target_volatility_bps: float = Field(default=25.0, gt=0)
    full_confidence_bps: float = Field(default=30.0, gt=0)
    floor: float = Field(default=0.2, ge=0, le=1)
    leverage_buckets: tuple[float, ...] = (1.0, 2.0, 3.0)


class ExitSettings(Section):
    """When a trade has had its time."""

    max_holding_candles: int = Field(default=48, ge=1)


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


class FlowSettings(Section):
    """The durable flow.

    database_url : where its steps are recorded; None: SQLite below `state_dir`.
    summary_path : the newest backtest summary, read by agents and by people.
    """

    database_url: str | None = None
    summary_path: Path = Path("user_data/llm_feedback/latest_backtest_summary.json")


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
    learning: LearningSettings = LearningSettings()
    expressions: ExpressionSettings = ExpressionSettings()
    llm: LlmSettings = LlmSettings()
    flow: FlowSettings = FlowSettings()


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
