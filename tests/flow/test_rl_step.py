"""Policies inside a run: killed while they train, resumed, and skipped where nothing changed."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest

from agent_market.errors import ConfigError
from agent_market.evaluation.rl.experiment import HOLD, TREND
from agent_market.evaluation.training import DEFAULT_COST_BPS
from agent_market.features import FeatureSet, write_feature_set
from agent_market.flow.outputs import OutputStore
from agent_market.flow.plan import Decision, make_plan, steps_of
from agent_market.flow.setup import Request, resolve
from agent_market.rl.adapters import POLICY_ADAPTERS
from agent_market.settings import FlowSettings, PolicyName
from tests.flow_project import FlowProject, write_small_market
from tests.parity.models import PARAMETERS

STEPS = ("--rl", "--steps", "data,rl")


@dataclass
class Resumed:
    """A project whose training was killed and resumed, and what the resuming run printed."""

    project: FlowProject
    output: str


def plan(project: FlowProject, **options: Any) -> dict[str, Decision]:
    request = _request(project, **options)
    decisions = make_plan(resolve(request), request, OutputStore(project.state_dir))
    return {decision.step.name: decision for decision in decisions}


def _request(project: FlowProject, **options: Any) -> Request:
    return Request(config=(str(project.root / "config.json"),), **{"rl": True, **options})


def _project(root: Path) -> FlowProject:
    policies = {"policies": ["exact"], "seeds": 1, "cost_bps": 0}
    project = FlowProject(root, agent_market={"learning": {"workers": 1}, "flow": {"rl": policies}})
    # the run's model has keys of its own there, which are not the policies'
    own = {"exact_policy": PARAMETERS["exact_policy"]}
    project.change({"freqai": {"model_training_parameters": own}})
    write_small_market(project.datadir)
    return project


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    project = _project(tmp_path_factory.mktemp("policies") / "project")
    process = project.start("run", *STEPS)
    _wait_until_trained(project)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children and not alive
    assert project.states()["rl"] == "running"
    result = project.flow("resume")
    assert result.returncode == 0, result.stdout + result.stderr
    return Resumed(project, result.stdout)


@pytest.fixture
def finished(resumed: Resumed) -> FlowProject:
    """The resumed project, its configuration and its strategies put back after the test."""
    project = resumed.project
    config = project.config
    strategies = {path: path.read_text() for path in (project.root / "strategies").glob("*.py")}
    yield project
    project.config = config
    project.change({})
    for path, text in strategies.items():
        path.write_text(text)


@pytest.mark.timeout(300)
def test_that_a_killed_training_ends_with_the_figures_of_one_that_was_not(
    resumed: Resumed,
) -> None:
    project = resumed.project
    step = project.steps()["rl"]
    assert (step["state"], step["attempts"], step["completions"]) == ("complete", 2, 1)
    result = project.flow("run", "--rl", "--steps", "rl", "--force")
    assert result.returncode == 0, result.stdout + result.stderr
    first, second = (run / "policies.json" for run in project.runs())
    assert first.read_bytes() == second.read_bytes()
    rows = {row["name"]: row for row in json.loads(first.read_text())["rows"]}
    assert list(rows) == ["exact", TREND, HOLD]
    assert rows["exact"]["trades"] > 0 and not rows["exact"]["not_trained"]


def test_that_net_returns_and_the_report_are_shown(resumed: Resumed) -> None:
    facts = resumed.project.steps(0)["rl"]["facts"]
    net = facts["net_return_percent"]
    assert set(net) == {"exact", TREND, HOLD} and net["exact"] != 0
    shown = ", ".join(f"{name} {value:.2f}" for name, value in net.items())
    for output in (resumed.output, resumed.project.flow("status").stdout):
        assert f"net % after costs: {shown} (report)" in output
    report = Path(facts["report"])
    assert f"Policies: {report}" in resumed.output
    assert "Policies: exact" in report.read_text() and "a-secret" not in report.read_text()


def test_that_unchanged_policies_are_skipped(finished: FlowProject) -> None:
    decisions = plan(finished)
    assert [decisions[name].action for name in ("data", "rl")] == ["skip", "skip"]
    assert decisions["rl"].reason.startswith("unchanged since ")


@pytest.mark.parametrize(
    "overlay",
    [
        {"freqai": {"model_training_parameters": {"iterations": 30}}},
        {"freqai": {"feature_parameters": {"label_period_candles": 24}}},
        {"freqaimodel": "FastLightGBMRegressor"},
        {"strategy": "RLTrader"},
        {"telegram": {"enabled": False}},
    ],
    ids=lambda overlay: str(overlay),
)
def test_that_what_concerns_the_model_of_the_run_trains_no_policy_again(
    finished: FlowProject, overlay: dict[str, Any]
) -> None:
    finished.change(overlay)
    assert plan(finished)["rl"].action == "skip"


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ({"agent_market": {"flow": {"rl": {"seeds": 2}}}}, "rl.seeds 1 -> 2"),
        ({"agent_market": {"flow": {"rl": {"policies": ["ppo"]}}}}, "rl.policies"),
        (
            {"freqai": {"model_training_parameters": {"exact_policy": {"max_epochs": 4}}}},
            "exact_policy.max_epochs 3 -> 4",
        ),
        ({"freqai": {"train_period_days": 1}}, "freqai.train_period_days 2 -> 1"),
        ({"agent_market": {"rl": {"leverage": 2}}}, "agent_market.rl.leverage 1.0 -> 2.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_that_a_changed_setting_of_policies_is_named(
    finished: FlowProject, overlay: dict[str, Any], told: str
) -> None:
    finished.change(overlay)
    decision = plan(finished)["rl"]
    assert decision.action == "run" and told in decision.reason


def test_that_changed_code_candles_and_features_train_again(finished: FlowProject) -> None:
    strategy = finished.root / "strategies" / "RLTrader.py"
    strategy.write_text(strategy.read_text() + "\n# edited\n")
    assert plan(finished)["rl"].reason == "code changed: RLTrader.py"
    file = resolve(_request(finished)).feature_set_file
    write_feature_set(file, FeatureSet(groups=("momentum",), periods=(12,), timeframes=("5m",)))
    assert plan(finished)["rl"].reason == "code changed: RLTrader.py, freqai_features.json"
    file.unlink()
    write_small_market(finished.datadir, seed=8)
    assert plan(finished)["rl"].reason == "after data"
    write_small_market(finished.datadir)


def test_that_policies_change_nothing_in_the_other_steps(finished: FlowProject) -> None:
    with_policies, without = plan(finished), plan(finished, rl=False)
    assert list(without) == ["data", "backtest", "summarize", "report"]
    assert list(with_policies) == ["data", "rl", "backtest", "summarize", "report"]
    assert without["backtest"].inputs is not None
    assert without["backtest"].inputs == with_policies["backtest"].inputs
    assert without["backtest"].step.needs == with_policies["backtest"].step.needs == ("data",)


def test_that_after_rounds_policies_wait_for_features_and_expressions() -> None:
    for options in ({}, {"rounds": 1}, {"rounds": 1, "open_vault": True}):
        request = Request(config=(), rl=True, **options)
        assert tuple(steps_of(request)) == request.step_names == request.selected
    names = request.step_names
    assert names[names.index("rl") - 1 :] == (
        *("expressions", "rl", "backtest", "summarize", "vault", "report"),
    )
    assert steps_of(request)["rl"].needs == ("data", "features", "expressions")


@pytest.mark.parametrize(
    ("policy", "package", "file"),
    [
        ("exact", "torch", "requirements-nets.txt"),
        ("ppo", "stable_baselines3", "requirements-rl.txt"),
        ("cql", "d3rlpy", "requirements-rl.txt"),
    ],
)
def test_that_a_missing_library_names_its_requirements_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, package: str, file: str
) -> None:
    project = FlowProject(tmp_path, agent_market={"flow": {"rl": {"policies": [policy]}}})
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what cannot be imported
    with pytest.raises(ConfigError, match=rf"policy '{policy}' needs {package}.*-r {file}`"):
        resolve(_request(project))
    assert resolve(_request(project, rl=False)).strategy == "HybridMultiMode"


@pytest.mark.parametrize(
    ("overlay", "options", "told"),
    [
        ({}, {"rl": False, "steps": ("rl",)}, "Give --rl as well"),
        ({"freqai": {"enabled": False}}, {}, "--rl: features are FreqAI's"),
        ({"agent_market": {"flow": {"rl": {"policies": []}}}}, {}, "flow.rl.policies"),
        ({"agent_market": {"flow": {"rl": {"policies": ["sac"]}}}}, {}, "'exact', 'ppo'"),
        ({"agent_market": {"flow": {"rl": {"strategy": "Absent"}}}}, {}, "strategy 'Absent'"),
    ],
    ids=["steps", "freqai", "none", "unknown", "strategy"],
)
def test_that_a_mistake_is_told_by_its_key(
    tmp_path: Path, overlay: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve(_request(FlowProject(tmp_path, **overlay), **options))


def test_that_the_settings_name_every_policy_that_freqai_can_train() -> None:
    assert get_args(PolicyName) == tuple(each.policy_type.name for each in POLICY_ADAPTERS)
    assert FlowSettings().rl.cost_bps == DEFAULT_COST_BPS


def _wait_until_trained(project: FlowProject) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = [path / "rl.log" for path in project.runs()]
        if any(log.is_file() and "train: 1 of " in log.read_text() for log in logs):
            return
        time.sleep(0.02)
    raise AssertionError("no policy was ever trained")
