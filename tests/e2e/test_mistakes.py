"""What a user's mistake looks like when Freqtrade itself is run."""

from pathlib import Path

from tests.conftest import SmallMarket
from tests.freqtrade_process import overlay, run_freqtrade


def test_that_a_misspelt_key_stops_freqtrade_with_one_line(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    misspelt = overlay(tmp_path / "misspelt.json", {"agent_market": {"modez": {}}})
    run = run_freqtrade(
        "backtesting",
        [small_market.config, misspelt],
        *["--datadir", str(small_market.datadir), "--timerange", "20250120-20250121"],
    )
    output = run.stdout + run.stderr
    assert run.returncode == 2
    assert "agent_market.modez: unknown key. Did you mean 'modes'?" in output
    assert "Traceback" not in output
