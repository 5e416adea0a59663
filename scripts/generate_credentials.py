#!/usr/bin/env python
"""Generate the API server's credentials into an untracked file, once."""

import secrets
from pathlib import Path

from agent_market.store import write_json

CREDENTIALS = Path("user_data/config.credentials.json")


def main() -> None:
    """Write the file unless it is there; only its owner may read it."""
    if CREDENTIALS.exists():
        return
    write_json(
        CREDENTIALS,
        {
            "api_server": {
                "username": "freqtrader",
                "password": secrets.token_urlsafe(16),
                "jwt_secret_key": secrets.token_hex(32),
                "ws_token": secrets.token_urlsafe(24),
            }
        },
    )
    CREDENTIALS.chmod(0o600)


if __name__ == "__main__":
    main()
