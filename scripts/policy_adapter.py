#!/usr/bin/env python
"""Turn the newest predictions, or the actions of an RL policy, into bias.json.

A running bot takes it at its next candle, and drops it when it expires. With `--history` every
candle becomes a line of a history that a backtest replays (`agent_market.bias.history`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from agent_market.decisions.advice import publish, record_advice
from agent_market.decisions.bias import bias_clamp
from agent_market.decisions.policy_bias import (
    biases_of,
    newest_of,
    read_actions,
    read_predictions,
    view_of_actions,
    view_of_predictions,
)
from agent_market.decisions.strategy_advice import bias_path
from agent_market.errors import ConfigError, DataError
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption, UserdirOption
from agent_market.flow.patch_command import config_files, run, say
from agent_market.flow.patching import utc_now
from agent_market.settings import load_settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def adapt(
    config: ConfigOption = None,
    userdir: UserdirOption = None,
    actions: Annotated[
        Path | None, typer.Option(help="CSV or Parquet of a policy's actions, not predictions.")
    ] = None,
    identifier: Annotated[str | None, typer.Option(help="[freqai.identifier]")] = None,
    label: Annotated[str, typer.Option(help="Prediction to read.")] = "&-forward_return",
    model: Annotated[str | None, typer.Option(help="Name of the source.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="File. [bias.json in agent_market.state_dir]")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Write every candle into this new history instead.")
    ] = None,
) -> None:
    """Write the bias of the newest candle, or the history of all."""
    merged = load_config_files(config_files(config))
    settings = load_settings(merged)
    if actions is not None:
        view, source = view_of_actions(read_actions(actions)), actions.name
    else:
        view, source = _view_of_predictions(merged, userdir, identifier, label)
    timeframe = merged.get("timeframe")
    if timeframe is None:
        raise ConfigError("timeframe is missing in the configuration. Set it, as in the strategy.")
    if history is not None:
        _write_history(history, view, model or source, timeframe, merged)
        return
    now = utc_now()
    bias = newest_of(view, model or source, timeframe, settings.bias, now)
    reading = bias_clamp(settings.bias)(bias)
    if reading.advice is None or reading.reasons:
        raise DataError(f"the bias would be ignored: {' '.join(reading.reasons)}")
    target = output or bias_path(settings)
    publish(target, bias, now)
    for pair, each in bias.pairs.items():
        say(
            f"{pair}: direction {each.direction}, confidence {each.confidence:.2f}, "
            f"position x {each.position_multiplier:.2f}, leverage {each.leverage:.2f}"
        )
    say(f"Wrote {target}, until {bias.expires_at.isoformat()}.")


def _view_of_predictions(
    config: dict[str, Any], userdir: Path | None, identifier: str | None, label: str
) -> tuple[pd.DataFrame, str]:
    name = identifier or config.get("freqai", {}).get("identifier")
    if name is None:
        raise ConfigError("freqai.identifier is missing. Pass --identifier or --actions.")
    root = userdir or Path(config.get("user_data_dir", "user_data"))
    predictions = read_predictions(root / "models" / name / "state" / "predictions", label)
    return view_of_predictions(predictions, load_settings(config).bias), name


def _write_history(
    path: Path, view: pd.DataFrame, model: str, timeframe: str, config: dict[str, Any]
) -> None:
    if path.exists():
        raise ConfigError(f"{path} exists. Take a new name, or delete it.")
    biases = biases_of(view, model, timeframe, load_settings(config).bias)
    record_advice(path, [(bias.created_at, bias) for bias in biases])
    say(f"Wrote {len(biases)} biases to {path}.")


if __name__ == "__main__":
    run(app)
