"""The models of the training pipeline, as FreqAI would configure them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freqtrade.exceptions import OperationalException
from freqtrade.resolvers.freqaimodel_resolver import FreqaiModelResolver

from agent_market.bridge.model import AgentMarketModel
from agent_market.bridge.specs import model_spec
from agent_market.errors import ConfigError
from agent_market.learning.window_model import ModelSpec


def offline_specs(
    config: Mapping[str, Any], adapters: Sequence[str], horizons: Sequence[int]
) -> dict[tuple[str, int], ModelSpec]:
    """
    Return a model for each adapter and horizon, with the feature pipeline of the configured model.

    The adapter of the configured `freqaimodel` has freqai.model_training_parameters; any other has
    the section with its own name there, as the other keys mean nothing to another library.
    :param config: of `read_config`
    :param adapters: keys of `ADAPTERS`; none for that of the configured model
    :param horizons: label_period_candles
    """
    configured = _configured_model(config)
    given = config["freqai"].get("model_training_parameters", {})
    return {
        (adapter, horizon): model_spec(
            config,
            adapter,
            horizon,
            params=None if adapter == configured.adapter else given.get(adapter, {}),
            pipeline=configured.feature_pipeline(),
        )
        for adapter in adapters or [configured.adapter]
        for horizon in horizons
    }


def _configured_model(config: Mapping[str, Any]) -> AgentMarketModel:
    try:
        model = FreqaiModelResolver.load_freqaimodel(dict(config))
    except OperationalException as error:
        raise ConfigError(str(error)) from error
    if not isinstance(model, AgentMarketModel):
        raise ConfigError(
            f"freqaimodel {type(model).__name__} is not one of ours. Name one of the folder "
            "freqaimodels with --freqaimodel."
        )
    return model
