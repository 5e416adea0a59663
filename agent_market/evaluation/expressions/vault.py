"""The sealed rows of a campaign: opened once, after which nothing is scored any more."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from agent_market.errors import GateRejected, StateCorrupt
from agent_market.evaluation.expressions.campaign import VAULT, Campaign, labels_of
from agent_market.evaluation.expressions.description import Description
from agent_market.evaluation.expressions.layout import layout_of
from agent_market.evaluation.expressions.scoring import Double, Score
from agent_market.evaluation.expressions.stage import Stage, vault_stage
from agent_market.expressions.accepted import expression_name
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import Panel
from agent_market.settings import Section
from agent_market.store import read_json, write_json


class VaultFigures(Section):
    """Figures of one expression on the vault's rows; None for what is not defined there.

    ic_error : standard error of `ic`.
    """

    name: str
    formula: str
    ic: float | None
    ic_error: float | None
    rank_ic: float | None
    t: float | None
    gross_bps: float
    net_bps: float
    turnover: float


class VaultResult(Section):
    """`vault.json`.

    first_row, last_row : of the panel.
    pooled_t, pooled_ic : of the mean position of the pool, each with the sign it had in the search.
    """

    campaign: str
    n_trials: int
    first_row: int
    last_row: int
    expressions: tuple[VaultFigures, ...]
    pooled_ic: float | None
    pooled_ic_error: float | None
    pooled_t: float | None


def open_vault(campaign: Campaign, panel: Panel, labels: Double | None = None) -> VaultResult:
    """Score the pool on the vault, write the result, and return it; once a campaign.

    Parameters
    ----------
    campaign : Campaign
        It refuses to score or to decide from now on, in any process.
    panel, labels
        Those the campaign was made with: it did not keep the rows of the vault.

    Raises
    ------
    GateRejected
        The vault was opened before; the message holds what it said then.
    ConfigError
        The data are not the campaign's.
    """
    path = campaign.folder / VAULT
    if path.exists():
        raise GateRejected(
            f"the vault of campaign {campaign.fixed.campaign} was opened before, and is opened "
            f"once. It said ({path}): {read_vault(path).model_dump_json()}"
        )
    labels = labels_of(panel, campaign.design, labels)
    campaign.require_data(panel, labels)
    layout = layout_of(panel.shape[1], panel.timeframe, campaign.design)
    stage = vault_stage(panel, labels, layout, campaign.design)
    nodes = [campaign.parse(each.formula) for each in campaign.pool]
    names = [expression_name(each.expression_hash) for each in campaign.pool]
    signs = [math.copysign(1.0, each.t) for each in campaign.pool]
    pooled = _pooled(stage, nodes, signs)
    result = VaultResult(
        campaign=campaign.fixed.campaign,
        n_trials=len(campaign.trials),
        first_row=layout.vault.start,
        last_row=layout.vault.stop - 1,
        expressions=tuple(
            _figures(name, each.formula, score, stage.describe(node, sign))
            for name, each, node, sign, score in zip(
                names, campaign.pool, nodes, signs, list(stage.scores(nodes)), strict=True
            )
        ),
        pooled_ic=_or_none(pooled.ic) if pooled else None,
        pooled_ic_error=_or_none(pooled.ic_error) if pooled else None,
        pooled_t=_or_none(pooled.t) if pooled else None,
    )
    write_json(path, result.model_dump(mode="json"))
    return result


def read_vault(path: Path) -> VaultResult:
    """Return a stored result.

    Raises
    ------
    StateCorrupt
        The file is no result of a vault.
    """
    try:
        return VaultResult.model_validate(read_json(path))
    except ValidationError as error:
        raise StateCorrupt(
            f"{path} is no result of a vault ({error.error_count()} faults). Restore a backup; do "
            "not delete it, the vault was opened."
        ) from error


def _pooled(stage: Stage, nodes: list[Node], signs: list[float]) -> Score | None:
    if not nodes:
        return None
    positions = [sign * stage.positions(node) for sign, node in zip(signs, nodes, strict=True)]
    return stage.scorer.score_positions(np.mean(positions, axis=0))


def _figures(name: str, formula: str, score: Score, described: Description) -> VaultFigures:
    return VaultFigures(
        name=name,
        formula=formula,
        ic=_or_none(score.ic),
        ic_error=_or_none(score.ic_error),
        rank_ic=_or_none(described.rank_ic),
        t=_or_none(score.t),
        gross_bps=described.gross_bps,
        net_bps=described.net_bps,
        turnover=described.turnover,
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
