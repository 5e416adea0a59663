"""Policies keep the contract of model adapters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.learning.adapters import create, load_adapter
from agent_market.learning.adapters.contract import ModelAdapter
from agent_market.rl.adapters import POLICY_ADAPTERS

N_ROWS = 1500
PARAMS: dict[str, dict[str, Any]] = {
    "exact": {"max_epochs": 40, "members": 1, "segment_candles": 32, "batch_segments": 8},
    "ppo": {"total_steps": 4000, "evaluations": 2},
    "cql": {"steps": 200},
    "imitation": {"max_epochs": 40, "members": 1, "segment_candles": 32, "batch_segments": 8},
}


def _market(seed: int, n_rows: int = N_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Return features, of which the first tells the next gain, and gains."""
    rng = np.random.default_rng(seed)
    signal = np.repeat(rng.choice([-1.0, 1.0], n_rows // 10 + 1), 10)[:n_rows]
    features = np.column_stack([signal, rng.normal(size=(n_rows, 3))]).astype(np.float32)
    return features, 0.002 * signal + 0.001 * rng.normal(size=n_rows)


def _fit(adapter: type[ModelAdapter], **params: Any) -> ModelAdapter:
    features, gains = _market(1)
    settings = {**PARAMS[adapter.section().removesuffix("_policy")], "least_valid_t": -99}
    return create(adapter.name, {**settings, **params}).fit(features, gains, seed=3)


@pytest.fixture(scope="module", params=POLICY_ADAPTERS, ids=lambda adapter: adapter.section())
def fitted(request: pytest.FixtureRequest) -> ModelAdapter:
    return _fit(request.param)


def test_that_it_gives_a_position_for_each_one_held(fitted: ModelAdapter) -> None:
    predicted = fitted.predict(_market(2)[0])
    assert predicted.shape == (N_ROWS, 3)
    assert np.isnan(predicted[: fitted.window - 1]).all()
    assert np.isin(predicted[fitted.window - 1 :], (-1.0, 0.0, 1.0)).all()


def test_that_it_follows_a_signal_that_pays(fitted: ModelAdapter) -> None:
    features, _ = _market(2)
    from_flat = fitted.predict(features)[1:, 1]
    assert (from_flat == features[1:, 0]).mean() > 0.9
    assert fitted.feature_importance().argmax() == 0


def test_that_a_row_alone_equals_its_row_in_the_batch(fitted: ModelAdapter) -> None:
    features, _ = _market(2)
    batch = fitted.predict(features)
    for row in (1, 700, N_ROWS - 1):
        alone = fitted.predict(features[row - fitted.window + 1 : row + 1])
        np.testing.assert_array_equal(alone[-1], batch[row])


def test_that_a_file_gives_the_same_policy_and_damage_is_told(
    fitted: ModelAdapter, tmp_path: Path
) -> None:
    path = tmp_path / "policy.model"
    fitted.save(path)
    features, _ = _market(2)
    loaded = load_adapter(path)
    np.testing.assert_array_equal(loaded.predict(features), fitted.predict(features))
    np.testing.assert_array_equal(loaded.feature_importance(), fitted.feature_importance())
    whole = path.read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 12).astype(int):
        path.write_bytes(whole[:cut])
        with pytest.raises(StateCorrupt):
            load_adapter(path)


@pytest.mark.parametrize("adapter", POLICY_ADAPTERS, ids=lambda adapter: adapter.section())
def test_that_one_seed_gives_one_policy(adapter: type[ModelAdapter]) -> None:
    assert _dumped(_fit(adapter)) == _dumped(_fit(adapter))


def test_that_rows_without_weight_earn_nothing() -> None:
    """Their gains, however large, teach nothing: a row with a label that is not usable."""
    adapter = POLICY_ADAPTERS[0]
    features, gains = _market(1)
    weight = np.ones(N_ROWS)
    weight[200:300] = 0
    spoiled = gains.copy()
    spoiled[200:300] = 9.0
    params = {**PARAMS["exact"], "least_valid_t": -99}
    first = create(adapter.name, params).fit(features, gains, sample_weight=weight, seed=3)
    second = create(adapter.name, params).fit(features, spoiled, sample_weight=weight, seed=3)
    assert _dumped(first) == _dumped(second)


def test_that_wrong_costs_are_refused() -> None:
    with pytest.raises(ConfigError, match="cost_bps is 'six'"):
        create(POLICY_ADAPTERS[0].name, {"cost_bps": "six"})


def _dumped(adapter: ModelAdapter) -> bytes:
    return adapter.dump(adapter.model)
