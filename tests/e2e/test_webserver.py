"""FreqUI's backend, `freqtrade webserver`, with our strategy and model."""

from pathlib import Path

import pytest

from tests.conftest import SmallMarket
from tests.freqtrade_process import Bot, api_server, free_port, overlay

PAIR = "ETH/USDT:USDT"


@pytest.mark.timeout(400)
def test_that_the_webserver_lists_strategy_and_model_and_serves_predictions(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    port = free_port()
    served = overlay(tmp_path / "served.json", {"api_server": api_server(port)})
    command = ("webserver", "--datadir", str(small_market.datadir))
    server = Bot([small_market.config, served], tmp_path / "web.log", port, *command)
    try:
        server.wait_for("the API", lambda: server.get("/ping")["status"] == "pong", 90)
        assert "HybridMultiMode" in server.get("/strategies")["strategies"]
        assert "CatboostRegressor" in server.get("/freqaimodels")["freqaimodels"]
        history = server.get(
            "/pair_history",
            pair=PAIR,
            timeframe="5m",
            timerange="20250120-20250122",
            strategy="HybridMultiMode",
            freqaimodel="CatboostRegressor",
        )
    finally:
        server.close()
    names = history["columns"]
    assert {"am_mode", "am_regime"} <= set(names)
    trust, value = names.index("do_predict"), names.index("&-forward_return")
    predictions = [row[value] for row in history["data"] if row[trust] == 1]
    assert len(predictions) == len(history["data"]) == 2 * 288 + 1
    assert len(set(predictions)) > 1  # a real model, not the zeros of an absent one
