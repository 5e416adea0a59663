"""A running bot, through Freqtrade's REST client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from freqtrade_client import FtRestClient  # type: ignore[import-untyped]

from agent_market.errors import ConfigError, StepFailed


def reload_bot(config: Mapping[str, Any]) -> str:
    """
    Let the bot that runs with this configuration read its files again.

    It keeps its open trades, and reads the files that it was started with.
    :param config: Freqtrade's merged configuration; its section `api_server` says where the bot is
    :return: what the bot answered; StepFailed if there is none or it refused
    """
    server = config.get("api_server", {})
    if not server.get("enabled"):
        raise ConfigError("api_server.enabled is not true. Restart the bot instead of reloading.")
    url = f"http://{server['listen_ip_address']}:{server['listen_port']}"
    client = FtRestClient(url, server.get("username"), server.get("password"))
    try:
        answer = client.reload_config()
    except requests.RequestException as error:
        raise StepFailed(f"{url}: {error}. The file is written; restart the bot.") from error
    if answer is None:
        raise StepFailed(f"{url}: no bot answers. The file is written; start or restart the bot.")
    if "status" not in answer:
        raise StepFailed(f"{url}: the bot refused: {answer}. The file is written; restart the bot.")
    return str(answer["status"])
