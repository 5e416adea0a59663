"""What a run works on: the user's request, resolved against the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_market.errors import ConfigError
from agent_market.features.feature_set import read_feature_set
from agent_market.flow.configuration import Config, deep_merge, load_config_files, without_secrets
from agent_market.flow.policy_libraries import require_libraries
from agent_market.flow.timerange import Timerange, parse_timerange
from agent_market.settings import FREQAI_FILES, AgentMarketSettings, freqai_file, load_settings

STEP_NAMES = ("data", "backtest", "summarize", "report")
ROUND_NAMES = ("data", "features", "expressions", "backtest", "summarize", "report")
"""What `--steps` may name where there are rounds."""
RL_NAME = "rl"
"""What it may name beside them with `--rl`."""
BIAS_NAME = "bias"
"""What a run of the loop has beside them."""
CANDLES = "candles"
"""Folder below the state directory where the loop keeps what it downloads."""
Source = Literal["exchange", "simulator", "directory"]


class Request(BaseModel):
    """The command line of `agent_flow run`, as it is kept in the run's record.

    `config` lists files, later ones win; None or an empty tuple leaves the choice to them. `steps`
    is a part of `STEP_NAMES`, with rounds of `ROUND_NAMES`, with `rl` of that too; empty: all.
    A run of the `loop` takes its candles from the exchange, and ends with a bias.
    """

    model_config = ConfigDict(frozen=True)

    config: tuple[str, ...]
    steps: tuple[str, ...] = ()
    rounds: int = Field(default=0, ge=0)
    open_vault: bool = False
    rl: bool = False
    loop: bool = False
    force: bool = False
    datadir: str | None = None
    timerange: str | None = None
    pairs: tuple[str, ...] = ()
    strategy: str | None = None
    freqaimodel: str | None = None
    userdir: str | None = None

    @property
    def step_names(self) -> tuple[str, ...]:
        """Every step of such a run, in order; those of a round end with its number."""
        policies = (RL_NAME,) if self.rl else ()
        bias = (BIAS_NAME,) if self.loop else ()
        vault = ("vault",) if self.rounds and self.open_vault else ()
        last = ("backtest", "summarize", *bias, *vault, "report")
        if not self.rounds:
            return ("data", *policies, *last)
        rounds = [
            f"{name}.{number}"
            for number in range(1, self.rounds + 1)
            for name in ("expressions", "backtest", "summarize")
        ]
        return ("data", "features", *rounds, "expressions", *policies, *last)

    @property
    def selected(self) -> tuple[str, ...]:
        """The steps to do: what belongs to a round goes with `expressions`, the vault with all."""
        chosen = self.steps or (*ROUND_NAMES, RL_NAME, BIAS_NAME)
        return tuple(
            name
            for name in self.step_names
            if ("expressions" if "." in name else name) in chosen or name == "vault"
        )


@dataclass(frozen=True)
class Setup:
    """A request resolved: the merged configuration (without secrets) and what follows from it."""

    config: Config
    settings: AgentMarketSettings
    source: Source
    datadir: Path
    user_data_dir: Path
    strategy: str
    freqaimodel: str | None
    timerange_text: str
    timerange: Timerange
    pairs: tuple[str, ...]
    strategy_file: Path
    freqaimodel_file: Path | None
    rounds: int = 0

    @property
    def freqai(self) -> Config:
        """Section `freqai`, empty where it is switched off."""
        section: Config = self.config.get("freqai", {})
        return section if section.get("enabled", False) else {}

    @property
    def is_futures(self) -> bool:
        """Whether the configuration trades perpetual futures."""
        return bool(self.config.get("trading_mode") == "futures")

    @property
    def feature_set_file(self) -> Path:
        """Where the strategy reads its feature set, if there is one."""
        return self._feature_file("feature_set_file")

    @property
    def expressions_file(self) -> Path:
        """Where the strategy reads its alpha expressions, if there are any."""
        return self._feature_file("expressions_file")

    @property
    def startup_candles(self) -> int:
        """Candles the strategy or FreqAI needs before the first one it can use."""
        features: Config = self.freqai.get("feature_parameters", {})
        periods: list[int] = features.get("indicator_periods_candles", [])
        n_shifts = int(features.get("include_shifted_candles", 0))
        timeframe = str(self.config.get("timeframe", "5m"))
        chosen = read_feature_set(self.feature_set_file) if self.freqai else None
        startup = 0 if chosen is None else chosen.startup(timeframe, n_shifts)
        lookback = _lookback(self.expressions_file, timeframe) if self.freqai else 0
        return max(_startup_candle_count(self.strategy_file), startup, lookback, *periods, 0)

    def _feature_file(self, key: str) -> Path:
        return freqai_file(self.config, key) or self.user_data_dir / FREQAI_FILES[key]


def resolve(request: Request) -> Setup:
    """Return the setup of a request.

    Raises
    ------
    ConfigError
        A file or a key is wrong, or something the run needs is not set anywhere.
    """
    _check_steps(request)
    config = _apply_options(load_config_files([Path(file) for file in request.config]), request)
    settings = load_settings(config)
    timerange = _required(config, "timerange", settings.timerange, "--timerange 20240101-20240401")
    user_data_dir = Path(config.setdefault("user_data_dir", "user_data"))
    strategy = _required(config, "strategy", None, "--strategy NAME")
    model = _freqaimodel(config)
    for option, is_given in (("--rounds", request.rounds), ("--rl", request.rl)):
        if is_given and model is None:
            raise ConfigError(f"{option}: features are FreqAI's. Set freqai.enabled to true.")
    if request.loop and model is None:
        raise ConfigError("loop: a bias is FreqAI's prediction. Set freqai.enabled to true.")
    if request.rl:
        require_libraries(settings.flow.rl.policies)
        find_strategy(settings.flow.rl.strategy, config, user_data_dir)
    return Setup(
        config=without_secrets(config) | {"timerange": timerange},
        settings=settings,
        source=_source(request, settings),
        datadir=_datadir(request, config, settings, user_data_dir),
        user_data_dir=user_data_dir,
        strategy=strategy,
        freqaimodel=model,
        timerange_text=timerange,
        timerange=parse_timerange(timerange),
        pairs=_pairs(config),
        strategy_file=find_strategy(strategy, config, user_data_dir),
        freqaimodel_file=find_class(model, _class_folders(config, "freqaimodel", user_data_dir)),
        rounds=request.rounds,
    )


def find_class(name: str | None, folders: Iterable[Path]) -> Path | None:
    """Return the file that holds `class <name>(`, found as Freqtrade finds it (not recursive)."""
    pattern = re.compile(rf"^class {re.escape(name or '')}\(", re.MULTILINE)
    for folder in folders:
        for file in sorted(folder.glob("*.py")):
            if pattern.search(file.read_text(encoding="utf-8")):
                return file
    return None


def _class_folders(config: Config, kind: str, user_data_dir: Path) -> list[Path]:
    default = {"strategy": "strategies", "freqaimodel": "freqaimodels"}[kind]
    own = config.get(f"{kind}_path")
    return [Path(folder) for folder in (own, user_data_dir / default) if folder]


def find_strategy(strategy: str, config: Config, user_data_dir: Path) -> Path:
    """Return the file of a strategy; ConfigError if it is in none of the folders."""
    folders = _class_folders(config, "strategy", user_data_dir)
    file = find_class(strategy, folders)
    if file is None:
        raise ConfigError(
            f"strategy {strategy!r} is in none of {', '.join(map(str, folders))}. "
            "Check --strategy and 'strategy_path' in the config."
        )
    return file


def _apply_options(config: Config, request: Request) -> Config:
    options: Config = {
        "timerange": request.timerange,
        "strategy": request.strategy,
        "freqaimodel": request.freqaimodel,
        "user_data_dir": request.userdir,
    }
    merged = deep_merge(config, {key: value for key, value in options.items() if value})
    if request.pairs:
        merged = deep_merge(merged, {"exchange": {"pair_whitelist": list(request.pairs)}})
    return merged


def _check_steps(request: Request) -> None:
    own = (RL_NAME,) if request.rl else ()
    known = (*(ROUND_NAMES if request.rounds else STEP_NAMES), *own)
    unknown = [step for step in request.steps if step not in known]
    if request.open_vault and not request.rounds:
        raise ConfigError("--open-vault: there is no campaign without --rounds. Give --rounds N.")
    if not unknown:
        return
    if unknown == [RL_NAME]:
        raise ConfigError("--steps: 'rl' trains policies, which is off. Give --rl as well.")
    if set(unknown) <= set(ROUND_NAMES):
        raise ConfigError(f"--steps: {unknown} are steps of rounds. Give --rounds N as well.")
    raise ConfigError(f"--steps: {unknown} unknown. Choose from {', '.join(known)}.")


def _required(config: Config, key: str, default: str | None, option: str) -> str:
    value = config.get(key) or default
    if not value:
        raise ConfigError(f"no {key} is set. Give {option}, or set {key!r} in the config.")
    return str(value)


def _freqaimodel(config: Config) -> str | None:
    if not config.get("freqai", {}).get("enabled", False):
        return None
    return _required(config, "freqaimodel", None, "--freqaimodel NAME")


def _source(request: Request, settings: AgentMarketSettings) -> Source:
    if request.loop:
        return "exchange"
    return "directory" if request.datadir else settings.market.source


def _datadir(
    request: Request, config: Config, settings: AgentMarketSettings, user_data_dir: Path
) -> Path:
    if request.loop:  # a folder of its own: a bot that starts downloads into Freqtrade's
        return settings.state_dir / CANDLES
    if request.datadir:
        return Path(request.datadir)
    if settings.market.datadir:
        return settings.market.datadir
    if settings.market.source == "exchange":
        return user_data_dir / "data" / str(config.get("exchange", {}).get("name", "")).lower()
    raise ConfigError(
        f"agent_market.market.datadir: not set, but source {settings.market.source!r} needs it. "
        "Set it in the config, or give --datadir."
    )


def _pairs(config: Config) -> tuple[str, ...]:
    exchange = config.get("exchange", {})
    excluded = set(exchange.get("pair_blacklist", []))
    pairs = [pair for pair in exchange.get("pair_whitelist", []) if pair not in excluded]
    if not pairs:
        raise ConfigError(
            "exchange.pair_whitelist: no pair. Set it in the config, or give --pairs."
        )
    return tuple(pairs)


def _startup_candle_count(strategy_file: Path) -> int:
    # Read from the text: importing the strategy would import Freqtrade, which takes seconds.
    match = re.search(
        r"^\s+startup_candle_count\s*(?::\s*\w+\s*)?=\s*(\d+)",
        strategy_file.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return int(match[1]) if match else 0


def _lookback(expressions: Path, timeframe: str) -> int:
    """Return the candles before its own that the longest expression of a file uses."""
    if not expressions.is_file():
        return 0
    from agent_market.expressions.accepted import read_accepted  # compiled kernels come with it
    from agent_market.expressions.scope import Scope

    scope = Scope(timeframe)
    return read_accepted(expressions, scope).lookback(scope)
