"""Time the simulator: 6 pairs x 6 months with candles, funding, mark and side data.

Writes `benchmarks/results/simulator_speed.json`. The budget is 20 s on two cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from agent_market.market.simulator import simulate, write_market
from agent_market.settings import SimulatorSettings
from agent_market.store import write_json

BUDGET_SECONDS = 20.0
_ROUNDS = 3
_RESULT = Path(__file__).parent / "results" / "simulator_speed.json"


def main() -> None:
    """Measure, print and write."""
    settings = SimulatorSettings()
    simulate(SimulatorSettings(days=1))  # the first call compiles
    seconds = [_write_once(settings) for _ in range(_ROUNDS)]
    median = statistics.median(seconds)
    write_json(
        _RESULT,
        {
            "what": f"write_market, {len(settings.pairs)} pairs x {settings.days} days, "
            f"candles {', '.join(settings.timeframes)}, funding, mark and side data",
            "seconds": [round(each, 3) for each in seconds],
            "median_seconds": round(median, 3),
            "budget_seconds": BUDGET_SECONDS,
            "cores": os.cpu_count(),
        },
    )
    print(f"simulator: {median:.2f} s (median of {_ROUNDS}), budget {BUDGET_SECONDS:.0f} s")
    print(f"written to {_RESULT}")


def _write_once(settings: SimulatorSettings) -> float:
    folder = Path(tempfile.mkdtemp(prefix="simulator_speed_"))
    try:
        start = time.perf_counter()
        write_market(settings, folder)
        return time.perf_counter() - start
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
