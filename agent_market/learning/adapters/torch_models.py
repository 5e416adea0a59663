"""Neural nets (PyTorch): a perceptron, an LSTM, a temporal convolution and a transformer.

torch is imported when an adapter is made, not when this module is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from agent_market.errors import ConfigError
from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray
from agent_market.learning.adapters.parameters import KEY, library, refuse_unknown, take_count
from agent_market.learning.adapters.torch_scaling import Scaling

# name: (default, least)
COUNTS = {"batch_size": (256, 1), "max_epochs": (40, 1), "early_stopping_rounds": (6, 0)}
# name: (default, least, most)
RATES = {
    "learning_rate": (1e-3, 1e-8, 10.0),
    "weight_decay": (0.01, 0.0, 1e3),
    "gradient_clip": (1.0, 1e-6, 1e6),
}
POSITIONS = ("learned", "sinusoidal")


class _TorchNet(ModelAdapter):
    """What all nets share.

    window_candles : rows that a prediction uses; 16, of the perceptron 1.
    dropout : share of values; 0.1.
    learning_rate, weight_decay : of AdamW (Loshchilov and Hutter, 2019, 1711.05101); 0.001, 0.01.
    gradient_clip : largest norm of a gradient; 1.
    batch_size : windows a step; 256. max_epochs : 40.
    early_stopping_rounds : epochs without a better validation loss that end the fit; 6, 0 turns it
        off. The net of the best epoch is kept.
    threads : of the fit and of predictions; 1.
    device : "auto" (a GPU where there is one, else the CPU), or torch's own name for one.

    Features and labels are standardized by the training part, NaN becomes the mean, and features
    with NaN in training have a column more that says where. A fit that goes on keeps the scaling of
    the model it starts from: under another one, its weights would mean something else.
    """

    suffix = "pt"
    supports_continue = True
    supports_multi_target = True
    seed_names: ClassVar[frozenset[str]] = frozenset({"seed", "random_state", "random_seed"})
    kind: ClassVar[str]
    sizes: ClassVar[Mapping[str, tuple[int, int]]]  # name: (default, least)
    window_candles: ClassVar[int] = 16

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        library("torch", self.name)
        names = {*self.sizes, *COUNTS, *RATES, *self._choices()}
        refuse_unknown(
            self.params, {*names, "window_candles", "dropout", "threads", "device"}, self.name
        )
        own = dict(self.params)
        self.window = take_count(own, "window_candles", self.window_candles, self.name, least=1)
        self._threads = take_count(own, "threads", 1, self.name, least=1)
        self._recipe: dict[str, Any] = {
            name: take_count(own, name, default, self.name, least)
            for name, (default, least) in COUNTS.items()
        }
        for name, (standard, low, high) in RATES.items():
            self._recipe[name] = _take_number(own, name, standard, self.name, low, high)
        self._sizes: dict[str, Any] = {
            name: take_count(own, name, default, self.name, least)
            for name, (default, least) in self.sizes.items()
        }
        self._sizes["dropout"] = _take_number(own, "dropout", 0.1, self.name, 0.0, 0.95)
        for name, values in self._choices().items():
            self._sizes[name] = _take_choice(own, name, values, self.name)
        self._wanted = own.pop("device", "auto")
        self._device()

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        """See `ModelAdapter.fit_model`."""
        from agent_market.learning.adapters import torch_training

        scaling = (
            Scaling.of(train, self.window, labels=not n_classes) if init is None else init.scaling
        )
        architecture = {
            "kind": self.kind,
            "n_columns": scaling.n_columns,
            "n_outputs": n_classes or train.y.reshape(len(train.y), -1).shape[1],
            "window": self.window,
            **self._sizes,
        }
        if init is not None:
            self._refuse_other_net(init.architecture, architecture)
        recipe = torch_training.Recipe(
            **self._recipe,
            threads=self._threads,
            device=self._device(),
            seed=seed,
            classifies=n_classes > 0,
            adapter=self.name,
        )
        start = None if init is None else init.net
        return torch_training.train(train, valid, architecture, scaling, recipe, start)

    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        from agent_market.learning.adapters import torch_training

        return np.asarray(model.scaling.labels(torch_training.outputs(model, X, self._threads)))

    def importance(self, model: Any, n_features: int) -> FloatArray:
        """Return the mean size of gradient times input over a sample of the training windows."""
        return np.asarray(model.importance)

    def dump(self, model: Any) -> bytes:
        """Return torch's format, without pickled modules."""
        from agent_market.learning.adapters import torch_training

        return torch_training.dump(model)

    def parse(self, payload: bytes) -> Any:
        """Return the net of torch's format, loaded with `weights_only`."""
        from agent_market.learning.adapters import torch_training

        return torch_training.parse(payload, self._device())

    def _choices(self) -> Mapping[str, tuple[str, ...]]:
        return {}

    def _device(self) -> str:
        from agent_market.learning.adapters import torch_training

        if self._wanted == "auto":
            return torch_training.best_device()
        try:
            library("torch", self.name).empty(0, device=self._wanted)
        except (RuntimeError, TypeError, AssertionError) as error:
            raise ConfigError(
                f"{KEY}.device: {self.name} found {self._wanted!r}, which this machine does not "
                f'have ({str(error).splitlines()[0]}). Use "auto" or "cpu".'
            ) from error
        return str(self._wanted)

    def _refuse_other_net(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        for name, value in now.items():
            if before[name] != value and name != "dropout":
                raise ConfigError(
                    f"{KEY}.{name}: init is a {self.name} of {before[name]!r}, this fit has "
                    f"{value!r}. Go on with the parameters of the model, or fit anew, without init."
                )


class MlpRegressor(_TorchNet):
    """A multi-layer perceptron: hidden_size 64, layers 2. It looks at one row by default."""

    name = "mlp_regressor"
    task = "regression"
    kind = "mlp"
    sizes: ClassVar[Mapping[str, tuple[int, int]]] = {"hidden_size": (64, 1), "layers": (2, 1)}
    window_candles = 1


class MlpClassifier(_TorchNet):
    """The same perceptron for classes, by cross entropy; of one row, as a class cannot be NaN."""

    name = "mlp_classifier"
    task = "classification"
    kind = "mlp"
    sizes: ClassVar[Mapping[str, tuple[int, int]]] = MlpRegressor.sizes
    window_candles = 1
    supports_multi_target = False

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        if self.window > 1:
            raise ConfigError(
                f"{KEY}.window_candles: {self.name} found {self.window}. It looks at one row: put "
                "earlier candles into the features, or choose a regressor."
            )

    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        scores = super().predict_model(model, X)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


class LstmRegressor(_TorchNet):
    """A long short-term memory: hidden_size 32, layers 1."""

    name = "lstm_regressor"
    task = "regression"
    kind = "lstm"
    sizes: ClassVar[Mapping[str, tuple[int, int]]] = {"hidden_size": (32, 1), "layers": (1, 1)}


class TcnRegressor(_TorchNet):
    """A temporal convolution: channels 32, kernel_size 4; as many layers as the window needs."""

    name = "tcn_regressor"
    task = "regression"
    kind = "tcn"
    sizes: ClassVar[Mapping[str, tuple[int, int]]] = {"channels": (32, 1), "kernel_size": (4, 2)}


class TransformerRegressor(_TorchNet):
    """A transformer encoder: hidden_size 32, layers 1, heads 4.

    positions : "learned", the default, or "sinusoidal".
    """

    name = "transformer_regressor"
    task = "regression"
    kind = "transformer"
    sizes: ClassVar[Mapping[str, tuple[int, int]]] = {
        "hidden_size": (32, 1),
        "layers": (1, 1),
        "heads": (4, 1),
    }

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        width, heads = self._sizes["hidden_size"], self._sizes["heads"]
        if width % heads:
            raise ConfigError(
                f"{KEY}.heads: {self.name} found {heads}, which does not divide hidden_size "
                f"{width}. Use a divisor of hidden_size."
            )

    def _choices(self) -> Mapping[str, tuple[str, ...]]:
        return {"positions": POSITIONS}


def _take_number(
    params: dict[str, Any], name: str, default: float, adapter: str, low: float, high: float
) -> float:
    """Remove a number from `params` and return it, or the default."""
    value = params.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(
            f"{KEY}.{name}: {adapter} found {value!r}. Use a number from {low:g} to {high:g}."
        )
    return float(value)


def _take_choice(params: dict[str, Any], name: str, values: tuple[str, ...], adapter: str) -> str:
    """Remove one of some words from `params` and return it, or the first."""
    value = params.pop(name, values[0])
    if value not in values:
        raise ConfigError(
            f"{KEY}.{name}: {adapter} found {value!r}. Use one of {', '.join(values)}."
        )
    return str(value)
