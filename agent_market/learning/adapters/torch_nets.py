"""The nets: windows of consecutive rows in, what is known at their last row out.

Imports torch; nothing but the adapters' own methods may import this module. The nets read only the
last step, so what a layer need not compute for it is left out.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Positions = Literal["learned", "sinusoidal"]

HEAD_GAIN = 0.01


class Dropout(nn.Module):
    """Dropout that draws from the generator of the fit, not from that of the process."""

    def __init__(self, share: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.share, self.generator = share, generator

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, in training with a share of its values at 0 and the others scaled up."""
        if not self.training or not self.share:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept / (1 - self.share)


class Mlp(nn.Module):
    """A multi-layer perceptron over the whole window: linear, GELU, dropout, `layers` times."""

    def __init__(
        self,
        n_columns: int,
        n_outputs: int,
        window: int,
        generator: torch.Generator | None,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = [n_columns * window, *[hidden_size] * layers]
        steps: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            steps += [nn.Linear(wide, narrow), nn.GELU(), Dropout(dropout, generator)]
        self.body = nn.Sequential(*steps)
        self.head = nn.Linear(hidden_size, n_outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return (n, n_outputs) of windows (n, window, n_columns)."""
        return torch.as_tensor(self.head(self.body(windows.flatten(1))))


class Lstm(nn.Module):
    """Stacked long short-term memory: Hochreiter and Schmidhuber (1997).

    Rows are first projected to `hidden_size` columns, which is most of the speed.
    """

    def __init__(
        self,
        n_columns: int,
        n_outputs: int,
        window: int,
        generator: torch.Generator | None,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(n_columns, hidden_size)
        self.layers = nn.ModuleList(
            nn.LSTM(hidden_size, hidden_size, batch_first=True) for _ in range(layers)
        )
        self.dropout = Dropout(dropout, generator)
        self.head = nn.Linear(hidden_size, n_outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return (n, n_outputs) of windows (n, window, n_columns)."""
        x = self.dropout(self.embed(windows))
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        return torch.as_tensor(self.head(x[:, -1]))


class Tcn(nn.Module):
    """Temporal convolutions of dilation 1, k, k^2, ...: Bai, Kolter and Koltun (2018), 1803.01271.

    At the last step, a causal convolution of kernel k and dilation k^i uses every k^i-th position
    of the layer below alone: computing these alone is a convolution of stride k, exactly, at
    1 / k of the work for each layer. There are as many layers as the window needs; a window that is
    no power of k is preceded by zeros.
    """

    def __init__(
        self,
        n_columns: int,
        n_outputs: int,
        window: int,
        generator: torch.Generator | None,
        *,
        channels: int,
        kernel_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.kernel_size, span, depth = kernel_size, 1, 0
        while span < window:
            span, depth = span * kernel_size, depth + 1
        self.blank = span - window
        self.embed = nn.Linear(n_columns, channels)
        self.layers = nn.ModuleList(
            nn.Linear(kernel_size * channels, channels) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(depth))
        self.dropout = Dropout(dropout, generator)
        self.head = nn.Linear(channels, n_outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return (n, n_outputs) of windows (n, window, n_columns)."""
        x = functional.pad(self.dropout(self.embed(windows)), (0, 0, self.blank, 0))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            groups = x.unflatten(1, (-1, self.kernel_size))
            new = functional.gelu(layer(norm(groups).flatten(2)))
            x = groups[:, :, -1] + self.dropout(new)
        return torch.as_tensor(self.head(x[:, -1]))


class Attention(nn.Module):
    """A pre-norm encoder layer (Xiong et al., 2020, 2002.04745) for the last `n_queries` steps."""

    def __init__(
        self, width: int, heads: int, dropout: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.memory = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.mix = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.dropout = Dropout(dropout, generator)

    def forward(self, x: Tensor, n_queries: int) -> Tensor:
        """Return (n, n_queries, width) of (n, n_steps, width); all steps may be attended to."""
        normed, x = self.norm(x), x[:, -n_queries:]
        keys, values = self._split(self.memory(normed)).chunk(2, dim=-1)
        query = self._split(self.query(normed[:, -n_queries:]))
        seen = functional.scaled_dot_product_attention(query, keys, values)
        x = x + self.dropout(self.mix(seen.transpose(1, 2).flatten(2)))
        return torch.as_tensor(x + self.dropout(self.feed(self.norm_feed(x))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Transformer(nn.Module):
    """An encoder over the window: Vaswani et al. (2017), 1706.03762.

    Causal without a mask: the window ends at the row that is predicted, and only its last step is
    read, so the last layer computes that step alone.
    """

    def __init__(
        self,
        n_columns: int,
        n_outputs: int,
        window: int,
        generator: torch.Generator | None,
        *,
        hidden_size: int,
        layers: int,
        heads: int,
        positions: Positions,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(n_columns, hidden_size)
        learned = positions == "learned"
        self.positions = nn.Parameter(torch.empty(window, hidden_size)) if learned else None
        self.layers = nn.ModuleList(
            Attention(hidden_size, heads, dropout, generator) for _ in range(layers)
        )
        self.dropout = Dropout(dropout, generator)
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, n_outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return (n, n_outputs) of windows (n, window, n_columns)."""
        x = self.embed(windows)
        places = _sinusoids(x) if self.positions is None else self.positions
        x = self.dropout(x + places)
        for layer in self.layers[:-1]:
            x = layer(x, x.shape[1])
        return torch.as_tensor(self.head(self.norm(self.layers[-1](x, 1)[:, -1])))


NETS: dict[str, type[nn.Module]] = {
    "mlp": Mlp,
    "lstm": Lstm,
    "tcn": Tcn,
    "transformer": Transformer,
}


def build(architecture: dict[str, Any], generator: torch.Generator | None = None) -> nn.Module:
    """Return a net without values: the generator of the process is neither used nor moved.

    Parameters
    ----------
    architecture : dict
        `kind`, a key of `NETS`, and the arguments of that class but for the generator.
    generator : torch.Generator, optional
        Of dropout; its device is that of the net. Without it the net cannot be trained.
    """
    options = {name: value for name, value in architecture.items() if name != "kind"}
    with torch.device("meta"):
        net = NETS[architecture["kind"]](generator=generator, **options)
    return net.to_empty(device="cpu" if generator is None else generator.device)


def initialize(net: nn.Module, generator: torch.Generator) -> None:
    """Fill a net with first values: Glorot and Bengio (2010) for matrices, biases 0.

    The head begins near 0, so that the net begins by predicting the mean: labels of markets are
    almost all noise, and large random predictions would take many epochs to unlearn.
    """
    for name, values in net.named_parameters():
        if values.ndim > 1:
            gain = HEAD_GAIN if name.startswith("head") else 1.0
            nn.init.xavier_uniform_(values, gain=gain, generator=generator)
        else:
            nn.init.constant_(values, float(name.endswith("weight")))  # 1 of a norm


def _sinusoids(x: Tensor) -> Tensor:
    """Return the places of (n, window, width) as sines and cosines, (window, width)."""
    window, width = x.shape[1:]
    step = torch.arange(window, device=x.device, dtype=torch.float32)[:, None]
    column = torch.arange(width, device=x.device)
    angle = step * torch.exp(-math.log(10_000.0) * (column // 2 * 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos())
