"""Which rows of a panel a campaign may search on, confirm on, and seals; all fixed beforehand.

    | calibration | fold 1 | ... | fold k |  | confirmation |  | vault |
    '------------- search ---------------'

Between two of them, and at the end of every block that is scored, rows are left out whose label
reaches over the border. Within the search rows the folds are those of `WalkForward`: a fold is
scored with what was known before it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agent_market.errors import ConfigError
from agent_market.expressions.panel import Panel
from agent_market.expressions.scope import ExpressionBounds, Scope
from agent_market.learning.splits import WalkForward
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import Section

_DAY = 86_400
_HORIZONS_A_BLOCK = 5
LEAST_BLOCKS = 8


class CampaignDesign(Section):
    """What a campaign fixes before it scores anything.

    horizon_candles : a label at row t uses rows t to t + horizon_candles.
    embargo_candles : left out at each border beside the horizon.
    confirmation_share, vault_share : of the rows; the search has the rest.
    n_folds : of the search rows, after a block of the same size that only calibrates.
    family_error : chance, at most, that the pool of a market without any alpha is not empty.
    max_confirmations : candidates that may be tried on the confirmation rows.
    max_correlation : with a member of the pool or a feature, in absolute value, at most.
    least_gain_t : t value that the gain of the pooled model must reach.
    cost_bps : of one fill, for what is earned after costs.
    bounds : of the expressions searched.
    """

    horizon_candles: int = Field(ge=1)
    embargo_candles: int = Field(default=12, ge=0)
    confirmation_share: float = Field(default=0.25, gt=0, lt=0.5)
    vault_share: float = Field(default=0.2, gt=0, lt=0.5)
    n_folds: int = Field(default=4, ge=2)
    family_error: float = Field(default=0.01, gt=0, lt=0.5)
    max_confirmations: int = Field(default=20, ge=1)
    max_correlation: float = Field(default=0.7, gt=0, le=1)
    least_gain_t: float = Field(default=1.645, ge=0)
    cost_bps: float = Field(default=5.0, ge=0)
    bounds: ExpressionBounds = ExpressionBounds(
        max_depth=6, max_nodes=24, max_window=288, max_lookback=600
    )


class Span(NamedTuple):
    """Rows `start` to `stop` - 1."""

    start: int
    stop: int


class ScoredFold(NamedTuple):
    """Rows scored with what the rows before `known` tell.

    blocks : spans of rows whose labels end within their own block.
    """

    known: int
    blocks: tuple[Span, ...]


class Layout(NamedTuple):
    """The rows of a campaign; `search` begins with row 0."""

    search: Span
    confirmation: Span
    vault: Span
    folds: tuple[ScoredFold, ...]
    confirmation_fold: ScoredFold
    vault_fold: ScoredFold


def layout_of(n_rows: int, timeframe: str, design: CampaignDesign) -> Layout:
    """Return the layout of a panel of `n_rows` rows.

    Raises
    ------
    ConfigError
        Too few rows: a fold, the confirmation or the vault is shorter than `LEAST_BLOCKS` blocks.
    """
    gap = design.horizon_candles + design.embargo_candles
    vault = Span(n_rows - round(n_rows * design.vault_share), n_rows)
    confirmed = round(n_rows * design.confirmation_share)
    confirmation = Span(vault.start - gap - confirmed, vault.start - gap)
    search = Span(0, confirmation.start - gap)
    size = block_candles(timeframe, design.horizon_candles)
    _require_rows(n_rows, size, search, (confirmation, vault), design)
    return Layout(
        search,
        confirmation,
        vault,
        _search_folds(search, size, design),
        ScoredFold(search.stop, _blocks(confirmation, size, design.horizon_candles)),
        ScoredFold(confirmation.stop, _blocks(vault, size, design.horizon_candles)),
    )


def block_candles(timeframe: str, horizon: int) -> int:
    """Return the length of a block: a day, and five horizons at least."""
    return max(_DAY // timeframe_seconds(timeframe), _HORIZONS_A_BLOCK * horizon, 2)


def scope_of(panel: Panel, bounds: ExpressionBounds) -> Scope:
    """Return the scope of what can be computed on a panel."""
    inputs = frozenset(panel.series) | {"vwap", "returns"}
    return Scope(panel.timeframe, inputs=inputs, features=frozenset(panel.features), bounds=bounds)


def forward_returns(panel: Panel, horizon: int) -> npt.NDArray[np.float64]:
    """Return close[t + horizon] / close[t] - 1, of shape (n_pairs, n_rows); a label.

    NaN in the last `horizon` rows, and where a candle is missing.
    """
    close = panel.series["close"].astype(np.float64)
    result = np.full(close.shape, np.nan)
    result[:, :-horizon] = close[:, horizon:] / close[:, :-horizon] - 1
    return result


def known_labels(
    labels: npt.NDArray[np.float64], stop: int, horizon: int
) -> npt.NDArray[np.float64]:
    """Return the labels of rows below `stop`, NaN where they use rows from `stop` on."""
    result = labels[:, :stop].copy()
    result[:, max(0, stop - horizon) :] = np.nan
    return result


def _search_folds(search: Span, size: int, design: CampaignDesign) -> tuple[ScoredFold, ...]:
    step = -(-search.stop // (design.n_folds + 1))
    splitter = WalkForward(
        horizon=design.horizon_candles,
        embargo=design.embargo_candles,
        train_length=step,
        step=step,
        expanding=True,
    )
    return tuple(
        ScoredFold(
            int(train[-1]) + 1,
            _blocks(Span(int(test[0]), int(test[-1]) + 1), size, design.horizon_candles),
        )
        for train, test in splitter.split(range(search.stop))
    )


def _blocks(span: Span, size: int, horizon: int) -> tuple[Span, ...]:
    """Return blocks of about `size` rows without the last `horizon` rows of each."""
    count = max(1, round((span.stop - span.start) / size))
    borders = [span.start + (span.stop - span.start) * k // count for k in range(count + 1)]
    return tuple(Span(first, last - horizon) for first, last in pairwise(borders))


def _require_rows(
    n_rows: int, size: int, search: Span, sealed: tuple[Span, ...], design: CampaignDesign
) -> None:
    shortest = min(span.stop - span.start for span in sealed)
    fold = search.stop // (design.n_folds + 1)
    if shortest < LEAST_BLOCKS * size or fold * design.n_folds < LEAST_BLOCKS * size:
        raise ConfigError(
            f"a campaign on {n_rows} rows has {max(fold, 0)} rows a fold, and {shortest} to "
            f"confirm on or to seal; each of these needs {LEAST_BLOCKS} blocks of {size} rows, the "
            "folds together. Use more data, other shares, or a shorter horizon."
        )
    if fold <= design.horizon_candles + design.embargo_candles:
        raise ConfigError(
            f"a campaign on {n_rows} rows has {fold} rows a fold, no more than horizon and embargo "
            "together. Use more data, fewer folds, or a shorter horizon."
        )
