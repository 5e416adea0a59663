"""What the feature agent chooses from, and what scores its choices, by a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_market.bridge import model_spec, settings_of
from agents.feature_agent import FeatureAgent, Limits, Space, available_groups

PERIODS = (6, 12, 24, 48, 96)
SCORER = "linear_regressor"
_SCORER_PARAMETERS = {"alpha": 1000.0, "imputer": "median"}


def space_of(
    config: Mapping[str, Any], groups: Sequence[str] = (), periods: Sequence[int] = PERIODS
) -> Space:
    """Return what the data and the configuration offer.

    Parameters
    ----------
    config : mapping
        Of `read_config`.
    groups : sequence of str
        Choose among these only; empty: all whose data are there.
    periods : sequence of int
        Beside those of the configuration.
    """
    parameters = config["freqai"]["feature_parameters"]
    configured = tuple(parameters["indicator_periods_candles"])
    own = config["timeframe"]
    others = [name for name in parameters["include_timeframes"] if name != own]
    return Space(
        groups=tuple(available_groups(config, groups)),
        periods=tuple(sorted({*configured, *periods})),
        opening_periods=configured,
        timeframes=(own, *others),
        correlated_pairs=tuple(parameters.get("include_corr_pairlist", [])),
    )


def agent_of(
    config: Mapping[str, Any], space: Space, limits: Limits, model: str = SCORER
) -> FeatureAgent:
    """Return an agent that scores by the model adapter `model`."""
    horizon = int(config["freqai"]["feature_parameters"]["label_period_candles"])
    given = config["freqai"].get("model_training_parameters", {})
    params = _SCORER_PARAMETERS if model == SCORER else given.get(model, {})
    spec = model_spec(config, model, horizon, params=params)
    folder = Path(settings_of(config).state_dir) / "feature_agent"
    return FeatureAgent(config, space, limits, spec, folder)
