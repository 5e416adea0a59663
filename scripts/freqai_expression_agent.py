#!/usr/bin/env python
"""Let a language model propose alpha expressions; score them, and write what is accepted.

Where no model is set, or it fails, search proposes. Every exchange is recorded, so that a run can
be replayed without the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from agent_market.errors import ModelUnavailable
from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.layout import CampaignDesign
from agent_market.expressions import Scope
from agent_market.expressions.panel import Panel
from agent_market.flow.command_line import run
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption, DatadirOption
from agent_market.flow.timerange import parse_timerange
from agent_market.llm import ExpressionProposer, open_model
from agent_market.settings import AgentMarketSettings, LlmSettings, freqai_file, load_settings
from agents.expression_agent import Round, run_rounds
from agents.expression_campaign import CampaignJudge, load_panel, search_end, search_notes

EXCHANGES, ROUNDS = "exchanges.jsonl", "rounds.json"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def propose(
    config: ConfigOption = None,
    datadir: DatadirOption = None,
    timerange: Annotated[
        str | None, typer.Option(help="For example 20240101-20240401. [all candles]")
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option("-p", "--pairs", help="Repeatable. [the whitelist]")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Questions to the model.", min=1)] = 10,
    proposals: Annotated[int, typer.Option(help="New expressions a round.", min=1, max=50)] = 8,
    seed: Annotated[int, typer.Option(help="Of model and search.", min=0)] = 7,
    folder: Annotated[
        Path | None, typer.Option(help="Of the campaign. [expressions, below state_dir]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="What is accepted. [freqai_expressions.json in the user directory]"),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Answer from these recorded exchanges; ask no model.")
    ] = None,
) -> None:
    """Propose, score, accept; a campaign in the same folder goes on."""
    merged = load_config_files(config or [Path("config.json")])
    settings = load_settings(merged)
    data = datadir or _datadir(merged, settings)
    panel = _panel(merged, data, pairs, timerange)
    design = CampaignDesign(horizon_candles=_horizon(merged))
    home = folder or settings.state_dir / "expressions"
    campaign = Campaign(home, panel, design)
    judge = CampaignJudge(campaign)
    proposer, absent = _proposer(settings.llm, campaign.scope, proposals, seed, home, replay)
    done = run_rounds(
        proposer,
        judge,
        campaign.scope,
        n_rounds=rounds,
        n=proposals,
        seed=seed,
        known=judge.known(),
        notes=search_notes(data, settings.flow.summary_path, search_end(panel, design)),
        absent=absent,
        path=home / ROUNDS,
        on_round=_show,
    )
    target = output or freqai_file({"user_data_dir": "user_data"} | merged, "expressions_file")
    campaign.write_accepted(target)
    shares = {
        name: "-" if share is None else f"{share:.0%}" for name, share in done.shares().items()
    }
    typer.echo(f"Of what the model wrote, valid: {shares['valid']}, new: {shares['new']}")
    typer.echo(f"Trials: {len(campaign.trials)}, accepted: {len(campaign.pool)} in {target}")
    typer.echo(f"Record: {home}")


def _proposer(
    settings: LlmSettings, scope: Scope, n: int, seed: int, home: Path, replay: Path | None
) -> tuple[ExpressionProposer | None, str]:
    """Return who proposes, or None and why."""
    try:
        ask = open_model(settings, home / EXCHANGES, replay)
    except ModelUnavailable as error:
        return None, str(error)
    return ExpressionProposer(ask, settings, scope, n=n, seed=seed), ""


def _panel(
    config: Mapping[str, Any], datadir: Path, pairs: list[str] | None, timerange: str | None
) -> Panel:
    return load_panel(
        datadir,
        pairs or config["exchange"]["pair_whitelist"],
        config["timeframe"],
        config.get("trading_mode", "spot"),
        parse_timerange(timerange) if timerange else None,
    )


def _horizon(config: Mapping[str, Any]) -> int:
    return int(config["freqai"]["feature_parameters"]["label_period_candles"])


def _datadir(config: Mapping[str, Any], settings: AgentMarketSettings) -> Path:
    if settings.market.datadir is not None:
        return settings.market.datadir
    user = Path(config.get("user_data_dir", "user_data"))
    return Path(config.get("datadir", user / "data" / config["exchange"]["name"]))


def _show(done: Round) -> None:
    by_model = sum(entry["origin"] == "model" for entry in done.expressions)
    by_search = len(done.expressions) - by_model
    form = f" ({done.form})" if done.form else ""
    typer.echo(f"round {done.number}: {by_model} by the model{form}, {by_search} by search")


if __name__ == "__main__":
    run(app)
