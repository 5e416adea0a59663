"""Rounds of a campaign that may be killed: what was begun is done again to the same bytes.

A round notes how much the campaign knew when it began. A second attempt proposes from that, reads
the model's answers of the first one back, and gets the scores that are stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent_market.errors import ConfigError, ModelUnavailable
from agent_market.evaluation.expressions.campaign import VAULT, Campaign
from agent_market.evaluation.expressions.layout import CampaignDesign
from agent_market.evaluation.expressions.records import Trial
from agent_market.evaluation.expressions.search import STATE, Search, SearchSettings
from agent_market.evaluation.expressions.vault import VaultResult, open_vault, read_vault
from agent_market.expressions import Node, format_expression
from agent_market.expressions.accepted import write_accepted
from agent_market.expressions.panel import Panel
from agent_market.flow.agent_tasks import AgentTask
from agent_market.flow.configuration import load_config_files
from agent_market.flow.timerange import parse_timerange
from agent_market.llm import Budget, ChatClient, ExpressionProposer, Recorder, Replayer
from agent_market.llm.messages import Ask, Reply, Request
from agent_market.settings import AgentMarketSettings, LlmSettings, load_settings
from agent_market.store import AppendLog, hash_bytes, read_json, write_json
from agents.expression_agent import AgentRun, Round, run_rounds
from agents.expression_campaign import CampaignJudge, load_panel, search_end, search_notes

logger = logging.getLogger(__name__)

_KEY_DIGITS = 16
_SEEDS_A_ROUND = 1000
_ISLAND, _LEAST_ISLAND = 100, 2
_ISLANDS_A_ROUND = 32  # four islands, the first generation of them drawn four times: half a round
Facts = dict[str, Any]


class Room(NamedTuple):
    """A campaign as a task finds it."""

    campaign: Campaign
    panel: Panel
    settings: AgentMarketSettings


class SearchRowsJudge(CampaignJudge):
    """Scores, and accepts nothing: that comes after the last round."""

    def accept(self) -> list[Node]:
        """Return nothing; the confirmation rows stay unread."""
        return []


def open_room(task: AgentTask) -> Room:
    """Return the campaign of a task; a new one, or as far as it is.

    Raises
    ------
    ConfigError, DataError
        The data or the settings do not make a campaign.
    """
    config = load_config_files([task.config], environment={})
    settings = load_settings(config)
    panel = load_panel(
        task.datadir,
        task.pairs,
        config["timeframe"],
        config.get("trading_mode", "spot"),
        parse_timerange(task.timerange),
    )
    horizon = int(config["freqai"]["feature_parameters"]["label_period_candles"])
    folder = _campaign_folder(task)
    campaign = Campaign(folder, panel, CampaignDesign(horizon_candles=horizon))
    return Room(campaign, panel, settings)


def propose(task: AgentTask) -> Facts:
    """Propose and score one round of expressions; write what the search rows would accept.

    A language model proposes if `agent_market.llm.base_url` is set, and search where it fails;
    else search alone. Proposals follow from scores on the search rows of earlier rounds, a model's
    also from headlines and development backtests of that time.

    Raises
    ------
    GateRejected
        The vault is open: the campaign is over.
    """
    room = open_room(task)
    campaign = room.campaign
    if room.settings.llm.base_url is None:
        n_before, facts = _search(room, task)
    else:
        n_before, facts = _ask_model(room, task)
    candidates = campaign.unconfirmed()
    write_accepted(task.output, candidates)
    return {
        "round": task.number,
        **facts,
        "new_trials": len(campaign.trials) - n_before,
        "trials": len(campaign.trials),
        "t_threshold": campaign.t_threshold,
        **_best(campaign.trials.values()),
        "candidates": len(candidates.expressions),
        "search_end": search_end(room.panel, campaign.design).isoformat(),
        "campaign": str(campaign.folder),
    }


def accept(task: AgentTask) -> Facts:
    """Confirm the candidates of all rounds, and write the pool."""
    campaign = open_room(task).campaign
    chosen = _campaign_folder(task) / f"candidates-{task.key[:_KEY_DIGITS]}.json"
    if not chosen.is_file():
        # kept before the first is decided: what a killed attempt decided changes the candidates
        write_json(chosen, [format_expression(node) for node in campaign.candidates()])
    decided = campaign.submit(map(campaign.parse, read_json(chosen)))
    campaign.write_accepted(task.output)
    return {
        "trials": len(campaign.trials),
        "candidates": len(decided),
        "accepted": len(campaign.pool),
        "confirmations_left": campaign.confirmations_left,
        "formulas": [each.formula for each in campaign.pool],
        "campaign": str(campaign.folder),
    }


def unseal(task: AgentTask) -> Facts:
    """Open the vault of the campaign, once; a second attempt reads what the first one wrote."""
    room = open_room(task)
    path = room.campaign.folder / VAULT
    result = read_vault(path) if path.is_file() else open_vault(room.campaign, room.panel)
    write_json(task.output, result.model_dump(mode="json"))
    return _vault_facts(result) | {"campaign": str(room.campaign.folder)}


def _vault_facts(result: VaultResult) -> Facts:
    return {
        "trials": result.n_trials,
        "pooled_ic": result.pooled_ic,
        "pooled_ic_error": result.pooled_ic_error,
        "pooled_t": result.pooled_t,
        "expressions": [each.model_dump(mode="json") for each in result.expressions],
    }


def _search(room: Room, task: AgentTask) -> tuple[int, Facts]:
    """Search for one round's share of the evaluations."""
    campaign, budget = room.campaign, room.settings.flow.rounds
    settings = SearchSettings(
        seed=budget.seed,
        max_evaluations=budget.evaluations * task.rounds,
        island_size=max(_LEAST_ISLAND, min(_ISLAND, budget.evaluations // _ISLANDS_A_ROUND)),
    )
    _set_aside_other_search(campaign.folder, settings)
    search = Search(campaign, settings)
    begun = _begun(task, {"trials": len(campaign.trials), "evaluations": search.n_evaluations})
    target = begun["evaluations"] + budget.evaluations
    generations = search.run()
    while search.n_evaluations < target:
        progress = next(generations, None)
        if progress is None:
            break
        logger.info("generation %d: %d scored", progress.generation, progress.n_evaluations)
    return begun["trials"], {"proposer": "search", "by_model": 0, "fallbacks": []}


def _set_aside_other_search(folder: Path, settings: SearchSettings) -> None:
    """Move a search with other settings away; its trials stay counted."""
    path = folder / STATE
    if path.is_file() and read_json(path)["settings"] != settings.model_dump(mode="json"):
        path.rename(folder / f"search-{hash_bytes(path.read_bytes())[:_KEY_DIGITS]}.json")


def _ask_model(room: Room, task: AgentTask) -> tuple[int, Facts]:
    campaign, budget = room.campaign, room.settings.flow.rounds
    begun = _begun(task, {"trials": len(campaign.trials)})
    seed = budget.seed + _SEEDS_A_ROUND * task.number
    judge = SearchRowsJudge(campaign)
    proposer, absent = _proposer(room, task, seed)
    run = run_rounds(
        proposer,
        judge,
        campaign.scope,
        n_rounds=budget.questions,
        n=budget.proposals,
        seed=seed,
        known=judge.known()[: begun["trials"]],
        notes=_notes(room, task),
        absent=absent,
        path=task.output.with_name("rounds.json"),
        on_round=_say,
    )
    return begun["trials"], {"proposer": "model", **_origins(run)}


def _notes(room: Room, task: AgentTask) -> Sequence[str]:
    until = search_end(room.panel, room.campaign.design)
    return search_notes(task.datadir, task.summary or Path("none.json"), until)


def _origins(run: AgentRun) -> Facts:
    origins = [entry["origin"] for each in run.rounds for entry in each.expressions]
    reasons = dict.fromkeys(each.fallback for each in run.rounds if each.fallback)
    return {"by_model": origins.count("model"), "fallbacks": list(reasons)}


def _say(done: Round) -> None:
    by_model = sum(entry["origin"] == "model" for entry in done.expressions)
    by_search = len(done.expressions) - by_model
    logger.info("question %d: %d by the model, %d by search", done.number, by_model, by_search)


def _proposer(room: Room, task: AgentTask, seed: int) -> tuple[ExpressionProposer | None, str]:
    """Return who proposes, or None and why."""
    settings, n = room.settings.llm, room.settings.flow.rounds.proposals
    exchanges = _exchanges(_campaign_folder(task))
    own = _campaign_folder(task) / f"exchanges-{task.key[:_KEY_DIGITS]}.jsonl"
    tokens, seconds = _spent(path for path in exchanges if path != own)
    try:
        ask = _recalled(own, settings)
    except ModelUnavailable as error:
        return None, str(error)
    budget = Budget(ask, settings.budget_tokens - tokens, settings.budget_seconds - seconds)
    return ExpressionProposer(budget.ask, settings, room.campaign.scope, n=n, seed=seed), ""


def _recalled(path: Path, settings: LlmSettings) -> Ask:
    """Return what answers from the record of an attempt that was killed, then asks the model."""
    recorder = Recorder(path, ChatClient(settings).ask)
    if not path.is_file():
        return recorder.ask
    recorded = Replayer(path)

    def ask(request: Request) -> Reply:
        try:
            return recorded.ask(request)
        except ConfigError:  # it was killed before it asked this
            return recorder.ask(request)

    return ask


def _exchanges(folder: Path) -> list[Path]:
    return sorted(folder.glob("exchanges-*.jsonl"))


def _spent(records: Iterable[Path]) -> tuple[int, float]:
    """Return tokens and seconds of recorded exchanges: the budget is that of the campaign."""
    entries = [entry for path in records for entry in AppendLog.open(path)[1]]
    tokens = sum(
        int(entry.get(name) or 0)
        for entry in entries
        for name in ("prompt_tokens", "completion_tokens")
    )
    return tokens, sum(float(entry.get("seconds") or 0) for entry in entries)


def _begun(task: AgentTask, state: Mapping[str, int]) -> dict[str, int]:
    """Return the state that the first attempt at this round found; this one, if it is the first."""
    path = _campaign_folder(task) / f"begun-{task.key[:_KEY_DIGITS]}.json"
    if not path.is_file():
        write_json(path, dict(state))
    begun: dict[str, int] = read_json(path)
    return begun


def _best(trials: Iterable[Trial]) -> Facts:
    """Return the trial of the largest |t| on the search rows."""
    scored = [trial for trial in trials if trial.score.is_valid]
    if not scored:
        return {}
    best: Trial = max(scored, key=lambda trial: abs(trial.score.t))
    return {"best": best.formula, "best_ic": best.score.ic, "best_t": best.score.t}


def _campaign_folder(task: AgentTask) -> Path:
    if task.campaign is None:
        raise ConfigError("the task names no campaign. Name its folder in `campaign`.")
    return task.campaign


TASKS: Mapping[str, Callable[[AgentTask], Facts]] = {
    "propose": propose,
    "accept": accept,
    "vault": unseal,
}
