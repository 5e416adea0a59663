"""Freqtrade's own checks of configuration files, without starting anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from freqtrade.configuration.config_validation import validate_config_consistency
from freqtrade.configuration.environment_vars import environment_vars_to_dict
from freqtrade.configuration.load_config import load_from_files
from freqtrade.enums import RunMode
from freqtrade.exceptions import OperationalException
from freqtrade.misc import deep_merge_dicts

from agent_market.errors import ConfigError

_OF_THE_STRATEGY = {"stoploss": -0.99, "minimal_roi": {"0": 10}, "timeframe": "5m"}


def check_config(files: Sequence[Path]) -> None:
    """
    Do what `freqtrade trade` does to a configuration before it asks an exchange; write nothing.

    What the strategy usually gives (stop-loss, minimal ROI, timeframe) may be missing.
    :param files: configuration files, later ones over earlier ones; ConfigError if Freqtrade
        refuses them
    """
    try:
        config = deep_merge_dicts(
            environment_vars_to_dict(), load_from_files([str(file) for file in files])
        )
        config = {**_OF_THE_STRATEGY, **config}
        config["runmode"] = RunMode.DRY_RUN if config.get("dry_run", True) else RunMode.LIVE
        validate_config_consistency(config)
    except OperationalException as error:
        raise ConfigError(f"Freqtrade refuses this configuration: {error}") from error
