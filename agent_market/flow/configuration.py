"""Freqtrade configuration files, merged the way Freqtrade merges them."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rapidjson

from agent_market.errors import ConfigError

Config = dict[str, Any]

PRIVATE_SECTIONS = frozenset(
    {
        "$schema",
        "add_config_files",
        "api_server",
        "bot_name",
        "config_files",
        "db_url",
        "discord",
        "external_message_consumer",
        "internals",
        "log_config",
        "telegram",
        "webhook",
    }
)
_PRIVATE_EXCHANGE_KEYS = frozenset(
    {
        "account_id",
        "accountId",
        "apiKey",
        "key",
        "password",
        "privateKey",
        "private_key",
        "secret",
        "uid",
        "walletAddress",
        "wallet_address",
    }
)
_CCXT_SECTIONS = ("ccxt_config", "ccxt_sync_config", "ccxt_async_config")
_CREDENTIALS = "config.credentials.json"
_ENVIRONMENT_PREFIX = "FREQTRADE__"
_MAX_DEPTH = 5


def load_config_files(files: Sequence[Path], environment: Mapping[str, str] = os.environ) -> Config:
    """Return the merged content of Freqtrade configuration files.

    Later files win over earlier ones, a file wins over its own `add_config_files`, and variables
    `FREQTRADE__SECTION__KEY` win over all of them. Comments and trailing commas are allowed.

    Raises
    ------
    ConfigError
        A file is missing or is not JSON; the message gives the place.
    """
    merged: Config = {}
    for file in files:
        merged = deep_merge(merged, _load_with_additions(file, level=0))
    return deep_merge(merged, _environment_config(environment))


def deep_merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Config:
    """Return a copy of `base` with `overlay` laid over it; only dictionaries are merged."""
    merged = copy.deepcopy(dict(base))
    for key, value in overlay.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = deep_merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def without_secrets(config: Mapping[str, Any]) -> Config:
    """Return the configuration without credentials and without sections a backtest never reads."""
    public = {key: value for key, value in config.items() if key not in PRIVATE_SECTIONS}
    exchange = _without_keys(public.get("exchange", {}))
    for section in _CCXT_SECTIONS:
        if section in exchange:
            exchange[section] = _without_keys(exchange[section])
    # The database URL of the flow may hold a password, and no strategy reads it.
    own = {key: value for key, value in public.get("agent_market", {}).items() if key != "flow"}
    return copy.deepcopy(public | {"exchange": exchange, "agent_market": own})


def _without_keys(section: Mapping[str, Any]) -> Config:
    return {key: value for key, value in section.items() if key not in _PRIVATE_EXCHANGE_KEYS}


def _load_with_additions(file: Path, level: int) -> Config:
    if level > _MAX_DEPTH:
        raise ConfigError(
            f"{file}: add_config_files nest deeper than {_MAX_DEPTH}. Break the loop."
        )
    config = parse_config_file(file)
    additions: Config = {}
    for name in config.get("add_config_files", []):
        addition = _load_with_additions(file.resolve().parent / name, level + 1)
        additions = deep_merge(additions, addition)
    return deep_merge(additions, config)


def parse_config_file(file: Path) -> Config:
    """Return one file's own content; ConfigError if it is missing or is not a JSON object."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        made = "Run `make setup` or scripts/generate_credentials.py, which writes it."
        advice = made if file.name == _CREDENTIALS else "Check the path."
        raise ConfigError(f"config file {file}: {error.strerror}. {advice}") from error
    try:
        config = rapidjson.loads(
            text, parse_mode=rapidjson.PM_COMMENTS | rapidjson.PM_TRAILING_COMMAS
        )
    except rapidjson.JSONDecodeError as error:
        raise ConfigError(f"config file {file} is not valid JSON: {error}. Mend it.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"config file {file} holds a {type(config).__name__}, not an object.")
    return config


def _environment_config(environment: Mapping[str, str]) -> Config:
    merged: Config = {}
    for name, text in sorted(environment.items()):
        if name.startswith(_ENVIRONMENT_PREFIX):
            value: Any = _typed(text)
            for part in reversed(name.removeprefix(_ENVIRONMENT_PREFIX).split("__")):
                value = {part.lower(): value}
            merged = deep_merge(merged, value)
    return merged


def _typed(text: str) -> Any:
    if text.lower() in ("t", "true", "f", "false"):
        return text.lower().startswith("t")
    try:
        value = rapidjson.loads(text)
    except rapidjson.JSONDecodeError:
        return text
    return value if isinstance(value, int | float | list) else text


def without_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without Freqtrade's variables, which are merged already."""
    return {k: v for k, v in environment.items() if not k.startswith(_ENVIRONMENT_PREFIX)}
