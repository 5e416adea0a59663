"""The experiment that a Freqtrade configuration describes: policies over FreqAI's windows.

It imports Freqtrade: only a process that trains imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_market.bridge import load_plans, model_spec, settings_of
from agent_market.bridge.trade_positions import price_path, trading_rules
from agent_market.errors import ConfigError
from agent_market.evaluation.rl import PolicyExperiment
from agent_market.evaluation.statement import read_manifest
from agent_market.evaluation.training import installed_versions, provenance
from agent_market.learning.window_model import ModelSpec
from agent_market.rl.adapters import POLICY_ADAPTERS

ADAPTERS = {adapter.policy_type.name: adapter for adapter in POLICY_ADAPTERS}


def policy_experiment(
    config: Mapping[str, Any], policies: Sequence[str], seeds: int, cost_bps: float
) -> PolicyExperiment:
    """Return what trains policies and compares them, on the frames of `freqtrade backtesting`.

    Parameters
    ----------
    config : mapping
        Of `bridge.read_config`.
    policies : sequence of str
        Keys of `ADAPTERS`.
    seeds : int
        Each is trained with the seeds 1 to N.
    cost_bps : float
        Fee and slippage of a fill, in training and after it.

    Raises
    ------
    ConfigError
        A policy is not known.
    DataError
        The time range lacks candles or funding.
    """
    own = settings_of(config)
    specs = _specs(config, policies, cost_bps)
    (plans,) = load_plans(config).values()
    return PolicyExperiment(
        plans=plans,
        paths={plan.pair: price_path(config, plan) for plan in plans},
        policies=specs,
        seeds=range(1, seeds + 1),
        rules=trading_rules(config, fee=cost_bps / 1e4, slippage=0.0, leverage=own.rl.leverage),
        timeframe=config["timeframe"],
        manifest=read_manifest(Path(config["datadir"])),
        provenance=provenance(config, plans),
        versions=installed_versions(),
    )


def _specs(
    config: Mapping[str, Any], policies: Sequence[str], cost_bps: float
) -> dict[str, ModelSpec]:
    """Return the model of each policy, with its section of the configuration."""
    unknown = [name for name in policies if name not in ADAPTERS]
    if unknown:
        raise ConfigError(
            f"there is no policy {unknown[0]!r} that FreqAI can train. Known: "
            f"{', '.join(ADAPTERS)}."
        )
    horizon = int(config["freqai"]["feature_parameters"]["label_period_candles"])
    given = config["freqai"].get("model_training_parameters", {})
    specs = {}
    for name, adapter in ADAPTERS.items():
        if name in policies:
            # other keys there are another model's
            params = {**given.get(adapter.section(), {}), "cost_bps": cost_bps}
            specs[name] = model_spec(config, adapter.name, horizon, params=params)
    return specs
