"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles, funding, trades, books and headlines."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real market data is not at {REAL_DATA}")
    return REAL_DATA
