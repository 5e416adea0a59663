"""What a Freqtrade configuration says about a model, in our own terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cloudpickle
from datasieve.pipeline import Pipeline
from freqtrade.exceptions import OperationalException

from agent_market.bridge.configuration import settings_of
from agent_market.learning.adapters import ADAPTERS, adapter_class
from agent_market.learning.window_model import ModelSpec

# FreqAI's options that need its own feature pipeline; without them no model of ours needs scaling
PIPELINE_OPTIONS = (
    "principal_component_analysis",
    "use_SVM_to_remove_outliers",
    "DI_threshold",
    "use_DBSCAN_to_remove_outliers",
    "noise_standard_deviation",
)
# windows are trained beside each other, one thread each
_THREADS = ("threads", "n_jobs", "num_threads", "num_thread", "nthread", "nthreads", "thread_count")
_SEEDS = ("random_state", "random_seed", "seed")
_NEEDS_HORIZON = ("stacking_regressor",)


def model_spec(
    config: Mapping[str, Any],
    adapter: str,
    horizon: int,
    *,
    params: Mapping[str, Any] | None = None,
    pipeline: Pipeline | None = None,
) -> ModelSpec:
    """
    Return the model that the section `freqai` describes.
    :param config: Freqtrade's merged configuration
    :param adapter: a key of `ADAPTERS`, or `module:Class`
    :param horizon: label_period_candles
    :param params: in place of freqai.model_training_parameters
    :param pipeline: FreqAI's feature pipeline, unfitted, for the options in `PIPELINE_OPTIONS`
    """
    adapter_class(adapter)  # an unknown one stops here
    freqai = config["freqai"]
    learning = settings_of(config).learning
    given = dict(_parameters(freqai, adapter) if params is None else params)
    seeds = [given.pop(name) for name in _SEEDS if name in given]
    for name in _THREADS:
        given.pop(name, None)
    if adapter in _NEEDS_HORIZON:
        given["horizon_candles"] = horizon
    parameters = freqai["feature_parameters"]
    return ModelSpec(
        adapter=adapter,
        params=given,
        seed=int(seeds[0]) if seeds and seeds[0] is not None else learning.seed,
        horizon_candles=horizon,
        test_size=_test_size(freqai),
        weight_factor=float(parameters.get("weight_factor", 0) or 0),
        max_missing_share=learning.max_missing_share,
        max_missing_rows=learning.max_missing_rows,
        pipeline=None if pipeline is None else cloudpickle.dumps(pipeline),
    )


def uses_pipeline(freqai: Mapping[str, Any]) -> bool:
    """
    Return whether an option asks for FreqAI's own feature pipeline.
    :param freqai: the section `freqai`
    """
    return any(freqai["feature_parameters"].get(option) for option in PIPELINE_OPTIONS)


def refuse_shuffling(freqai: Mapping[str, Any]) -> None:
    """
    Overlapping labels may not be split at random: the validation score would be a leak.
    :param freqai: the section `freqai`
    """
    split, features = freqai["data_split_parameters"], freqai["feature_parameters"]
    places = {
        "freqai.data_split_parameters.shuffle": split.get("shuffle"),
        "freqai.feature_parameters.shuffle_after_split": features.get("shuffle_after_split"),
        "freqai.feature_parameters.reverse_train_test_order": features.get(
            "reverse_train_test_order"
        ),
    }
    wrong = [key for key, value in places.items() if value]
    if wrong:
        raise OperationalException(
            f"{', '.join(wrong)} is true, which lets overlapping labels leak between training and "
            "validation. Set it to false."
        )


def _parameters(freqai: Mapping[str, Any], adapter: str) -> dict[str, Any]:
    """Return the plain keys, and over them those of the adapter's own section."""
    given = freqai.get("model_training_parameters", {})
    sections = {name for name, value in given.items() if isinstance(value, Mapping)}
    if sections - set(ADAPTERS):
        # a bot without policies does not wait for their libraries
        from agent_market.rl.adapters import POLICY_ADAPTERS

        sections &= {*ADAPTERS, *(policy.section() for policy in POLICY_ADAPTERS)}
    plain = {name: value for name, value in given.items() if name not in sections}
    return {**plain, **given.get(adapter_class(adapter).section(), {})}


def _test_size(freqai: Mapping[str, Any]) -> float:
    size = freqai["data_split_parameters"].get("test_size", 0.1)
    if not 0 <= size < 1:
        raise OperationalException(
            f"freqai.data_split_parameters.test_size is {size!r}. Give a share of at least 0 and "
            "below 1."
        )
    return float(size)
