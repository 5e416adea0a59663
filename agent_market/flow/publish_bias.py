"""Step `bias`: the newest predictions of the backtest, as the bias that a running bot takes."""

from __future__ import annotations

import getpass
import logging
from pathlib import Path

import pandas as pd

from agent_market.decisions.advice import Reading, judge, parse_advice, publish, read_advice
from agent_market.decisions.bias import Bias, bias_clamp
from agent_market.decisions.patches import changes_between
from agent_market.decisions.policy_bias import newest_of, view_of_predictions
from agent_market.decisions.strategy_advice import bias_path
from agent_market.errors import DataError
from agent_market.flow.evaluate import backtest_artifacts
from agent_market.flow.inputs import Inputs, code_hashes
from agent_market.flow.outputs import Manifest
from agent_market.flow.patching import audit_trail, utc_now
from agent_market.flow.setup import BIAS_NAME, Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace
from agent_market.store import hash_bytes, write_text

logger = logging.getLogger(__name__)


def bias_inputs(setup: Setup, upstream: Upstream) -> Inputs:
    """Return what a bias depends on, beside the clock: predictions, and how they are read."""
    return Inputs(
        code_hashes("decisions", "evaluation/predictions.py"),
        {"bias": setup.settings.bias.model_dump(mode="json")},
        upstream={"backtest": upstream["backtest"].key},
    )


def write_bias(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    """Write `bias.json` of the newest candle in the run's folder.

    Raises
    ------
    DataError
        The newest prediction is too old for a bias, or the model predicts no return.
    """
    predictions, model = _predictions(setup, upstream["backtest"])
    settings, now = setup.settings.bias, utc_now()
    view = view_of_predictions(predictions, settings)
    bias = newest_of(view, model, str(setup.config["timeframe"]), settings, now)
    reading = bias_clamp(settings)(bias)
    if reading.advice is None or reading.reasons:
        raise DataError(f"the bias would be ignored: {' '.join(reading.reasons)}")
    path = place.folder / "bias.json"
    write_text(path, _text(bias))
    until = bias.expires_at.isoformat(timespec="seconds")
    return StepOutput([path], {"bias": str(path), "bias_id": bias.id, "bias_until": until})


def put_in_force(setup: Setup, manifest: Manifest) -> None:
    """Publish a bias that holds now and is newer than the one that stands; the bot reads it.

    Made again by a run that goes on after a kill, it changes nothing.
    """
    bias = parse_advice(Bias, Path(manifest.facts["bias"]).read_bytes())
    path, now = bias_path(setup.settings), utc_now()
    old = path.read_bytes() if path.is_file() else b""
    standing = read_advice(Bias, old, bias_clamp(setup.settings.bias)).advice
    reading = judge(Reading(bias), now)
    if reading.advice is None:
        logger.warning("step bias: %s", " ".join(reading.reasons))
        return
    if standing is not None and standing.created_at >= bias.created_at:
        return
    trail = audit_trail(setup.settings)
    number = trail.begin(
        "publish",
        str(path.resolve()),
        changes_between(_pairs(standing), _pairs(bias)),
        (hash_bytes(old) if old else "", hash_bytes(_text(bias).encode())),
        who=getpass.getuser(),
        why=f"agent_flow loop, run {manifest.run_id}",
    )
    publish(path, bias, now)
    trail.finish(number, "done")


def _predictions(setup: Setup, backtest: Manifest) -> tuple[pd.DataFrame, str]:
    """Return the predictions of each pair's newest window, and the name of their models."""
    from agent_market.evaluation.backtest_result import read_backtest_result
    from agent_market.evaluation.predictions import LABEL, read_windows

    artifacts = backtest_artifacts(setup, backtest)
    windows = read_windows(artifacts, read_backtest_result(artifacts.result_path))
    newest = {window.pair: window for window in windows}  # by time: the last one stands
    if not newest or any(LABEL not in window.frame for window in newest.values()):
        held = sorted(
            {name for each in newest.values() for name in map(str, each.frame) if name[0] == "&"}
        )
        raise DataError(
            f"a bias follows from predictions {LABEL}, a return, and the backtest has "
            f"{', '.join(held) or 'none'}. Take a strategy and a model with that label."
        )
    frames = [
        pd.DataFrame(
            {
                "date": window.frame["date"],
                "pair": pair,
                "prediction": window.frame[LABEL].astype(float),
                "trusted": window.frame["do_predict"].eq(1),
            }
        )
        for pair, window in newest.items()
    ]
    return pd.concat(frames, ignore_index=True), artifacts.run_models_dir.name


def _pairs(bias: Bias | None) -> dict[str, object]:
    return {} if bias is None else bias.model_dump(mode="json", include={"id", "pairs"})


def _text(bias: Bias) -> str:
    return bias.model_dump_json(indent=2) + "\n"


BIAS = Step(BIAS_NAME, ("backtest",), bias_inputs, write_bias, put_in_force)
