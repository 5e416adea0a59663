from agent_market.market.replay import ccxt_overlay, launch_replay
from tests.flow_project import FlowProject


def test_that_source_exchange_downloads_what_the_run_needs(fresh: FlowProject) -> None:
    fetched = fresh.root / "fetched"
    market = {"source": "exchange", "datadir": str(fetched)}
    with launch_replay(fresh.datadir, clock="as-stored") as exchange:
        fresh.change({**ccxt_overlay(exchange.url), "agent_market": {"market": market}})
        result = fresh.flow("run", "--steps", "data", "--timerange", "20240107-20240108")
        assert result.returncode == 0, result.stderr
        later = fresh.flow("run", "--steps", "data")
        assert later.returncode == 0, later.stderr
    assert (fetched / "futures" / "ETH_USDT_USDT-1h-funding_rate.feather").is_file()
    assert fresh.states() == {
        "data": "complete",
        "backtest": "not selected",
        "summarize": "not selected",
        "report": "not selected",
    }
    assert (fresh.runs()[1] / "data-prepend.log").is_file()
