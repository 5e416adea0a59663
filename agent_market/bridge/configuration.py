"""Our settings, with errors that Freqtrade shows as its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freqtrade.exceptions import OperationalException

from agent_market.errors import ConfigError
from agent_market.settings import AgentMarketSettings, load_settings


def settings_of(config: Mapping[str, Any]) -> AgentMarketSettings:
    """
    Return the section `agent_market`; a mistake in it stops Freqtrade with one line.
    :param config: Freqtrade's merged configuration
    :return: the validated settings
    """
    try:
        return load_settings(config)
    except ConfigError as error:
        # Freqtrade ends with exit code 0 on its own ConfigurationError.
        raise OperationalException(str(error)) from error
