"""Features and expressions inside a run, with a model that answers once and then is down."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent_market.errors import ConfigError, GateRejected
from agent_market.expressions.accepted import read_accepted
from agent_market.features import read_feature_set
from agent_market.flow.agent_tasks import AgentTask
from agent_market.flow.data_needs import data_needs
from agent_market.flow.development import development_setup, search_end
from agent_market.flow.outputs import OutputStore
from agent_market.flow.plan import make_plan, steps_of
from agent_market.flow.setup import Request, Setup, resolve
from agent_market.store import read_json
from agents.campaign_rounds import propose
from tests.campaign_project import (
    HISTORY_DAYS,
    SEARCH_END,
    campaign_project,
    write_reverting_market,
)
from tests.flow_project import FlowProject
from tests.llm.fault_server import Served, answering, sending, serve

GOOD = json.dumps({"expressions": ["-returns", "rank(volume)", "-ts_mean(returns, 3)"]})


@dataclass
class Finished:
    """A project after its rounds, what it printed, and what its model was asked."""

    project: FlowProject
    output: str
    served: Served


def _request(project: FlowProject, **options: Any) -> Request:
    return Request(config=(str(project.root / "config.json"),), **options)


def _actions(project: FlowProject, **options: Any) -> dict[str, str]:
    request = _request(project, **options)
    decisions = make_plan(resolve(request), request, OutputStore(project.state_dir))
    return {decision.step.name: decision.action for decision in decisions}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """Two rounds: the model answers the first question, and none after it."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        good = answering(GOOD) if len(served.requests) == 1 else sending([b""], status=503)
        good(handler)

    project = campaign_project(
        tmp_path_factory.mktemp("rounds") / "p", questions=1, proposals=4, feature_trials=1
    )
    write_reverting_market(project.datadir)
    with serve(behave) as served:
        project.change({"agent_market": {"llm": {"base_url": served.url, "tries": 1}}})
        result = project.flow("run", "--rounds", "2", "--open-vault", seconds=560)
        assert result.returncode == 0, result.stdout + result.stderr
        yield Finished(project, result.stdout, served)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return resolve(_request(campaign_project(tmp_path / "p"), rounds=1))


def test_that_every_step_ends_and_both_files_are_published(finished: Finished) -> None:
    project = finished.project
    assert list(project.states()) == [
        *("data", "features", "expressions.1", "backtest.1", "summarize.1"),
        *("expressions.2", "backtest.2", "summarize.2"),
        *("expressions", "backtest", "summarize", "vault", "report"),
    ]
    assert set(project.states().values()) <= {"complete", "skipped"}
    facts = {name: step["facts"] for name, step in project.steps().items()}
    userdir = project.root / "user_data"
    chosen = read_feature_set(userdir / "freqai_features.json")
    assert chosen is not None and list(chosen.groups) == facts["features"]["groups"]
    pool = read_accepted(userdir / "freqai_expressions.json")
    assert {"returns", "-returns"} & {each.formula for each in pool.expressions}
    assert pool.n_trials == facts["expressions"]["trials"] == 8
    assert all(each.confirmation_t is not None for each in pool.expressions)


def test_that_the_rounds_their_fallback_and_the_vault_are_shown(finished: Finished) -> None:
    status = finished.project.flow("status").stdout
    for text in (finished.output, status):
        assert "model 3, search 1" in text and "model 0, search 4" in text
        assert "search stood in for the model: " in text and "503" in text
        assert "The vault, opened once" in text
    facts = finished.project.steps()["vault"]["facts"]
    assert facts["pooled_t"] > 3
    assert json.loads(Path(facts["vault"]).read_text())["pooled_t"] == facts["pooled_t"]


def test_that_the_report_tells_of_the_rounds(finished: Finished) -> None:
    steps = finished.project.steps()
    page = Path(steps["report"]["facts"]["report"]).read_text()
    section = page[page.index("<h2>Rounds</h2>") :].partition("</section>")[0]
    for told in ("model 3, search 1", "model 0, search 4", "503", "Vault, opened once"):
        assert told in section
    for formula in steps["expressions"]["facts"]["formulas"]:
        assert f"<td>{escape(formula)}</td>" in section


def test_that_the_model_hears_of_the_round_before_and_of_no_later_row(finished: Finished) -> None:
    first, second = (_text(body) for _, body in finished.served.requests)
    project = finished.project
    assert "nothing yet" in first and "mean IC" not in first
    inner = json.loads(Path(project.steps()["summarize.1"]["facts"]["summary"]).read_text())
    told = re.findall(r"on (\S+): mean IC (-?[0-9.]+) in (\d+) windows", second)
    assert len(told) == 2
    for pair, figure, count in told:
        windows = [each for each in inner["predictions"]["windows"] if each["pair"] == pair]
        assert len(windows) == int(count)
        assert sum(each["ic"] for each in windows) / len(windows) == pytest.approx(
            float(figure), abs=6e-5
        )
    assert all(pd.Timestamp(each["window_end"]) < SEARCH_END for each in windows)
    assert "-returns: score " in second
    final = json.loads(project.summary_path.read_text())
    vault = json.loads(Path(project.steps()["vault"]["facts"]["vault"]).read_text())
    decisions = next(project.state_dir.glob("campaigns/*/decisions.jsonl")).read_text()
    confirmed = [json.loads(line)["record"]["confirmation_ic"] for line in decisions.splitlines()]
    for sealed in (final["totals"], final["predictions"], vault, confirmed):
        assert not _figures(sealed) & set(re.findall(r"-?\d+\.\d{3,}", second))


def test_that_an_unchanged_run_skips_all_and_a_changed_candle_redoes_all(
    finished: Finished, tmp_path: Path
) -> None:
    project = finished.project
    assert set(_actions(project, rounds=2, open_vault=True).values()) == {"skip"}
    assert _actions(project)["backtest"] == "skip", "the published files stay in use"
    path = project.datadir / "futures" / "BTC_USDT_USDT-1h-futures.feather"
    kept = path.read_bytes()
    write_reverting_market(project.datadir, later_seed=5)
    try:
        actions = _actions(project, rounds=2)
    finally:
        write_reverting_market(project.datadir)
    assert path.read_bytes() == kept
    assert {actions[name] for name in ("data", "features", "expressions.1", "backtest")} == {"run"}


def test_that_a_campaign_whose_vault_is_open_is_over(finished: Finished) -> None:
    """A third round's own task, in this process: starting the flow again would prove no more."""
    folder = finished.project.runs()[0] / "round-2"
    second = AgentTask.model_validate(read_json(folder / "propose.task.json"))
    with pytest.raises(GateRejected, match=r"the vault of campaign .* is open"):
        propose(second.model_copy(update={"number": 3, "rounds": 3, "key": "third"}))


def test_that_a_round_ends_before_the_rows_that_confirm(setup: Setup) -> None:
    assert search_end(setup) == SEARCH_END
    inner = development_setup(setup)
    assert inner.timerange.stop is not None
    assert inner.timerange.stop + pd.Timedelta(hours=3) <= SEARCH_END
    history = data_needs(setup).start
    assert setup.timerange.start - history == pd.Timedelta(days=HISTORY_DAYS)
    assert data_needs(inner).start >= history
    assert inner.config["timerange"] == inner.timerange_text


def test_that_a_short_history_is_refused_by_its_key(tmp_path: Path) -> None:
    for days, told in ((30, "needs 8 blocks"), (52, "no day for a development backtest")):
        project = campaign_project(tmp_path / str(days), history_days=days)
        setup = resolve(_request(project, rounds=1))
        with pytest.raises(ConfigError, match=rf"flow.rounds.history_days: {days}.*{told}"):
            development_setup(setup)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": ("features",)}, "are steps of rounds. Give --rounds N"),
        ({"open_vault": True}, "there is no campaign without --rounds"),
        ({"rounds": 1, "steps": ("vaults",)}, r"\['vaults'\] unknown"),
    ],
)
def test_that_steps_of_rounds_ask_for_rounds(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve(_request(campaign_project(tmp_path / "p"), **options))


def test_that_the_steps_are_those_that_the_request_names() -> None:
    for options in ({}, {"rounds": 2}, {"rounds": 1, "open_vault": True}):
        request = Request(config=(), **options)
        assert tuple(steps_of(request)) == request.step_names == request.selected
    part = Request(config=(), rounds=1, steps=("data", "expressions"))
    assert part.selected == ("data", "expressions.1", "backtest.1", "summarize.1", "expressions")


def _text(body: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in body["messages"])


def _figures(value: Any) -> set[str]:
    """Return every number in a JSON value, as a prompt would write it."""
    if isinstance(value, dict):
        return set().union(*map(_figures, value.values()), set())
    if isinstance(value, list):
        return set().union(*map(_figures, value), set())
    if isinstance(value, float) and value:
        return {f"{value:.{digits}f}" for digits in (3, 4)} | {f"{-value:.4f}", str(value)}
    return set()
