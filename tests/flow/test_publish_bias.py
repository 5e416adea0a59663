"""What a backtest says of its newest candle becomes a bias."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent_market.decisions.advice import parse_advice
from agent_market.decisions.bias import Bias
from agent_market.errors import DataError
from agent_market.flow import publish_bias
from agent_market.flow.outputs import Manifest, OutputStore
from agent_market.flow.publish_bias import write_bias
from agent_market.flow.setup import Request, Setup, resolve
from agent_market.flow.steps import Workplace
from tests.flow_project import PAIRS, FlowProject

LAST = datetime(2024, 1, 7, tzinfo=UTC)  # the last candle of the time range opens then
CANDLE = timedelta(minutes=5)


def backtest_of(project: FlowProject) -> tuple[Setup, Manifest]:
    setup = resolve(Request(config=(str(project.root / "config.json"),)))
    manifest = OutputStore(project.state_dir).newest("backtest")
    assert manifest is not None
    return setup, manifest


def predicted(manifest: Manifest, pair: str) -> float:
    """Return the prediction of the last candle, as FreqAI stored it."""
    coin = pair.split("/")[0].lower()
    files = Path(manifest.facts["models"]).glob(f"backtesting_predictions/cb_{coin}_*.feather")
    frames = [pd.read_feather(file) for file in files]
    rows = pd.concat(frames).set_index("date")
    return float(rows.loc[rows.index.max(), "&-forward_return"])


def test_that_directions_are_those_of_the_newest_predictions(
    finished: FlowProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, manifest = backtest_of(finished)
    settings = setup.settings.bias.model_copy(update={"edge_bps": 0.0})
    object.__setattr__(setup, "settings", setup.settings.model_copy(update={"bias": settings}))
    now = LAST + CANDLE + timedelta(minutes=1)
    monkeypatch.setattr(publish_bias, "utc_now", lambda: now)
    output = write_bias(setup, {"backtest": manifest}, Workplace(tmp_path, "0" * 64))
    bias = parse_advice(Bias, (tmp_path / "bias.json").read_bytes())
    assert output.facts["bias_id"] == bias.id == f"bias-{now:%Y%m%dT%H%M%S}"
    assert bias.source.model == Path(manifest.facts["models"]).name
    assert set(bias.pairs) == set(PAIRS)
    for pair, each in bias.pairs.items():
        assert each.direction in (0, np.sign(predicted(manifest, pair)))
    assert any(each.direction for each in bias.pairs.values())


@pytest.mark.parametrize("minutes", [-1, 16])
def test_that_no_bias_is_made_of_a_candle_that_is_too_old_or_has_not_closed(
    finished: FlowProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    setup, manifest = backtest_of(finished)
    now = LAST + CANDLE + timedelta(minutes=minutes)
    monkeypatch.setattr(publish_bias, "utc_now", lambda: now)
    with pytest.raises(DataError, match=f"closed {minutes}.0 minutes ago; a bias is made within"):
        write_bias(setup, {"backtest": manifest}, Workplace(tmp_path, "0" * 64))
    assert not (tmp_path / "bias.json").exists()
