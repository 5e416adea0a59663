"""The time before the time range, on which features and expressions are found.

    | history, `history_days` long                              | time range: backtest |
    | search rows of the campaign         | confirmation, vault |
    | training |  development backtest    |

What a round learns from, scores and development backtest alike, ends with the campaign's search
rows. So neither its confirmation rows, nor its vault, nor the time range can steer a proposal.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from agent_market.errors import ConfigError
from agent_market.flow.configuration import deep_merge
from agent_market.flow.setup import Setup
from agent_market.flow.timerange import Timerange, parse_timerange
from agent_market.market.candles import timeframe_seconds

NOWHERE = Path("none.json")
"""A file that is not there: the strategy's own features, or no expressions."""
_DAY = timedelta(days=1)


def horizon_of(setup: Setup) -> int:
    """Return the candles that a label looks ahead."""
    return int(setup.freqai["feature_parameters"]["label_period_candles"])


def history_of(setup: Setup) -> Timerange:
    """Return the span of the campaign: it ends where the time range begins."""
    stop = setup.timerange.start
    return Timerange(stop - timedelta(days=setup.settings.flow.rounds.history_days), stop)


def as_text(span: Timerange) -> str:
    """Return a span in epoch seconds, as `--timerange` takes it."""
    return "-".join(str(int(moment.timestamp())) for moment in span if moment is not None)


def search_end(setup: Setup) -> datetime:
    """Return when the last candle closes that the search may see.

    Raises
    ------
    ConfigError
        The history is too short for a campaign.
    """
    # compiled kernels come with it
    from agent_market.evaluation.expressions.layout import CampaignDesign, layout_of

    candle = timedelta(seconds=timeframe_seconds(setup.config["timeframe"]))
    history = history_of(setup)
    days = setup.settings.flow.rounds.history_days
    design = CampaignDesign(horizon_candles=horizon_of(setup))
    try:
        layout = layout_of(timedelta(days=days) // candle, setup.config["timeframe"], design)
    except ConfigError as error:
        raise ConfigError(f"agent_market.flow.rounds.history_days: {days}: {error}") from error
    return history.start + layout.search.stop * candle


def development_setup(setup: Setup, features: Path = NOWHERE, expressions: Path = NOWHERE) -> Setup:
    """Return the setup of a backtest on search rows alone, with what was found until now.

    Its first day leaves room for the training before it and for the longest memory, its last one
    for the label of the last candle.

    Raises
    ------
    ConfigError
        No day is left between them.
    """
    files = {"feature_set_file": str(features), "expressions_file": str(expressions)}
    found = replace(setup, config=deep_merge(setup.config, {"freqai": files}), rounds=0)
    candle = timedelta(seconds=timeframe_seconds(setup.config["timeframe"]))
    training = timedelta(days=float(setup.freqai["train_period_days"]))
    memory = max(found.startup_candles, _longest_lookback()) * candle
    start = _midnight(history_of(setup).start + training + memory + _DAY - timedelta(seconds=1))
    stop = _midnight(search_end(setup) - (horizon_of(setup) + 1) * candle)
    if stop <= start:
        raise ConfigError(
            f"agent_market.flow.rounds.history_days: {setup.settings.flow.rounds.history_days} "
            f"leave no day for a development backtest: training and the longest memory end on "
            f"{start:%Y-%m-%d}, the rows that a search may see on {stop:%Y-%m-%d}. Raise it."
        )
    text = f"{start:%Y%m%d}-{stop:%Y%m%d}"
    config = found.config | {"timerange": text}
    return replace(found, config=config, timerange_text=text, timerange=parse_timerange(text))


def _longest_lookback() -> int:
    from agent_market.evaluation.expressions.layout import CampaignDesign

    return CampaignDesign(horizon_candles=1).bounds.max_lookback


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC)
