"""Fixtures that every room's tests share."""

from pathlib import Path

import hypothesis
import pytest

PROJECT = Path(__file__).resolve().parents[1]
# a busy machine and the first compilation of a kernel are slow, not wrong
hypothesis.settings.register_profile("agent-market", deadline=None, derandomize=True)
hypothesis.settings.load_profile("agent-market")

REAL_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles, funding, trades, books and headlines."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real market data is not at {REAL_DATA}")
    return REAL_DATA
