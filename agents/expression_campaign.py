"""The expression agent on real candles: the panel, the campaign that judges, what may be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent_market.errors import DataError
from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.layout import CampaignDesign, layout_of
from agent_market.evaluation.expressions.records import Trial
from agent_market.expressions import Node
from agent_market.expressions.panel import Panel, origin_of, panel_of_candles
from agent_market.flow.timerange import Timerange
from agent_market.llm import Feedback
from agent_market.llm.notes import headline_notes, summary_notes
from agent_market.market.candles import candle_path, read_candles, timeframe_seconds

_HEADLINES = 8
_FUNDING_TIMEFRAMES = ("8h", "1h", "4h")


class CampaignJudge:
    """Lets a campaign score, and submits the best of all trials in the end.

    Feedback holds what the search folds say, the coefficient and its t value.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign

    def known(self) -> list[Feedback]:
        """Return the feedback on everything that the campaign has scored before."""
        return [
            _feedback(self._campaign.parse(trial.formula), trial)
            for trial in self._campaign.trials.values()
        ]

    def score(self, nodes: Sequence[Node]) -> list[Feedback]:
        """Return a feedback on each expression; each that is new is a counted trial."""
        return list(map(_feedback, nodes, self._campaign.score(nodes)))

    def accept(self) -> list[Node]:
        """Submit the candidates; return the pool, oldest first."""
        self._campaign.submit(self._campaign.candidates())
        return [self._campaign.parse(decision.formula) for decision in self._campaign.pool]


def load_panel(
    datadir: Path,
    pairs: Sequence[str],
    timeframe: str,
    trading_mode: Literal["spot", "futures"],
    timerange: Timerange | None = None,
) -> Panel:
    """Return the stored candles of `pairs` as a panel, with funding where it is stored.

    Raises
    ------
    DataError
        A pair has no candles, or none in the time range.
    """
    candles = {pair: read_candles(datadir, pair, timeframe, trading_mode) for pair in pairs}
    if timerange is not None:
        for pair, frame in candles.items():
            inside = frame["date"] >= timerange.start
            if timerange.stop is not None:
                inside &= frame["date"] < timerange.stop
            candles[pair] = frame[inside].reset_index(drop=True)
            if not inside.any():
                raise DataError(f"no candles of {pair} in the time range. Widen it, or load more.")
    funding = {
        pair: read_candles(datadir, pair, each, "funding_rate")
        for pair in pairs
        for each in reversed(_FUNDING_TIMEFRAMES)
        if candle_path(datadir, pair, each, "funding_rate").is_file()
    }
    return panel_of_candles(candles, timeframe, funding=funding or None)


def search_end(panel: Panel, design: CampaignDesign) -> datetime:
    """Return when the last candle closes that the search may see."""
    stop = layout_of(panel.shape[1], panel.timeframe, design).search.stop
    seconds = timeframe_seconds(panel.timeframe)
    return datetime.fromtimestamp(
        origin_of(seconds) + (panel.first_candle + stop) * seconds, tz=UTC
    )


def search_notes(datadir: Path, summary: Path, until: datetime) -> list[str]:
    """Return what the model may be told beside scores: all of it was known at `until`."""
    return [*summary_notes(summary, until), *headline_notes(datadir, until, _HEADLINES)]


def _feedback(node: Node, trial: Trial) -> Feedback:
    if not math.isfinite(trial.score.ic):
        return Feedback(node, None)
    return Feedback(node, trial.score.ic, f"t value {trial.score.t:.1f}")
