import json
import shutil
from pathlib import Path

import pytest

from agent_market.errors import ConfigError, DataError
from agent_market.expressions.accepted import write_accepted
from agent_market.features import FeatureSet, write_feature_set
from agent_market.flow import inputs
from agent_market.flow.outputs import OutputStore
from agent_market.flow.plan import Decision, make_plan
from agent_market.flow.setup import Request, resolve
from tests.accepted_expressions import accepted
from tests.flow_project import PAIRS, FlowProject, write_small_market


def plan(project: FlowProject, **options: object) -> dict[str, Decision]:
    request = _request(project, **options)
    decisions = make_plan(resolve(request), request, OutputStore(project.state_dir))
    return {decision.step.name: decision for decision in decisions}


def _request(project: FlowProject, **options: object) -> Request:
    return Request(config=(str(project.root / "config.json"),), **options)


def actions(decisions: dict[str, Decision]) -> dict[str, str]:
    return {name: decision.action for name, decision in decisions.items()}


def test_that_a_first_run_does_everything(fresh: FlowProject) -> None:
    decisions = plan(fresh)
    assert set(actions(decisions).values()) == {"run"}
    assert decisions["data"].reason == "never run"
    assert decisions["backtest"].reason == "after data"


def test_that_an_unchanged_run_does_nothing(finished: FlowProject) -> None:
    decisions = plan(finished)
    assert set(actions(decisions).values()) == {"skip"}
    assert decisions["backtest"].reason == f"unchanged since {finished.runs()[0].name}"


def test_that_force_redoes_only_what_is_selected(finished: FlowProject) -> None:
    decisions = plan(finished, force=True, steps=("summarize", "report"))
    assert actions(decisions) == {
        "data": "not selected",
        "backtest": "not selected",
        "summarize": "run",
        "report": "run",
    }
    assert decisions["summarize"].reason == "forced"


def test_that_a_changed_setting_is_named_and_redoes_the_backtest(project: FlowProject) -> None:
    project.change({"freqai": {"feature_parameters": {"label_period_candles": 24}}})
    decisions = plan(project)
    assert actions(decisions) == {
        "data": "skip",
        "backtest": "run",
        "summarize": "run",
        "report": "run",
    }
    change = "config changed: freqai.feature_parameters.label_period_candles 12 -> 24"
    assert decisions["backtest"].reason == change


@pytest.mark.parametrize(
    "overlay",
    [
        {"exchange": {"key": "other", "secret": "other"}},
        {"api_server": {"listen_port": 9999, "password": "other"}},
        {"telegram": {"enabled": False}},
        {"db_url": "sqlite:///elsewhere.sqlite"},
        {"exchange": {"ccxt_config": {"urls": {"api": {"public": "http://127.0.0.1:1"}}}}},
        {"agent_market": {"replay": {"port": 8481}}},
    ],
    ids=lambda overlay: next(iter(overlay)),
)
def test_that_secrets_ports_and_places_redo_nothing(
    project: FlowProject, overlay: dict[str, object]
) -> None:
    project.change(overlay)
    assert set(actions(plan(project)).values()) == {"skip"}


def test_that_changed_strategy_code_is_named_and_leaves_the_data(project: FlowProject) -> None:
    strategy = project.root / "strategies" / "HybridMultiMode.py"
    strategy.write_text(strategy.read_text() + "\n# edited\n")
    decisions = plan(project)
    assert decisions["data"].action == "skip"
    assert decisions["backtest"].action == "run"
    assert decisions["backtest"].reason == "code changed: HybridMultiMode.py"


def test_that_hyperopt_parameters_beside_the_strategy_count_as_code(project: FlowProject) -> None:
    (project.root / "strategies" / "HybridMultiMode.json").write_text("{}")
    assert plan(project)["backtest"].reason == "code changed: HybridMultiMode.json"


def test_that_a_feature_set_redoes_the_backtest(project: FlowProject) -> None:
    chosen = FeatureSet(groups=("momentum",), periods=(12,), timeframes=("5m",))
    write_feature_set(resolve(_request(project)).feature_set_file, chosen)
    assert plan(project)["backtest"].reason == "code changed: freqai_features.json"


def test_that_expressions_redo_the_backtest_on_enough_candles(project: FlowProject) -> None:
    setup = resolve(_request(project))
    assert setup.startup_candles < 299
    write_accepted(setup.expressions_file, accepted("ts_zscore(close, 300)"))
    assert plan(project)["backtest"].reason == "code changed: freqai_expressions.json"
    assert setup.startup_candles == 299


def test_that_a_changed_history_of_biases_redoes_the_backtest(fresh: FlowProject) -> None:
    history = fresh.root / "bias_2026.jsonl"
    fresh.change({"agent_market": {"bias": {"history": str(history)}}})
    hashes = []
    for content in ("one", "another"):
        history.write_text(content)
        hashes.append(inputs.backtest_code(resolve(_request(fresh)))["bias_2026.jsonl"])
    assert hashes[0] != hashes[1]


def test_that_changed_evaluation_code_leaves_the_backtest(
    finished: FlowProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "agent_market"
    shutil.copytree(inputs.PACKAGE, package)
    edited = package / "evaluation" / "metrics.py"
    edited.write_text(edited.read_text() + "\n# edited\n")
    monkeypatch.setattr(inputs, "PACKAGE", package)
    decisions = plan(finished)
    assert actions(decisions) == {
        "data": "skip",
        "backtest": "skip",
        "summarize": "run",
        "report": "run",
    }
    assert decisions["summarize"].reason == "code changed: agent_market/evaluation/metrics.py"


def test_that_changed_candles_are_named_and_redo_the_backtest(project: FlowProject) -> None:
    write_small_market(project.datadir, seed=8)
    decisions = plan(project)
    assert decisions["data"].action == "run"
    assert "data changed: futures/BTC_USDT_USDT-1h-mark.feather" in decisions["data"].reason


def test_that_candles_nobody_reads_redo_nothing(project: FlowProject) -> None:
    source = project.datadir / "futures" / "BTC_USDT_USDT-5m-futures.feather"
    shutil.copy(source, source.with_name("XRP_USDT_USDT-5m-futures.feather"))
    assert set(actions(plan(project)).values()) == {"skip"}


def test_that_a_damaged_output_is_redone(project: FlowProject) -> None:
    summary = project.runs()[0] / "summary.json"
    summary.write_text(summary.read_text() + " ")
    decisions = plan(project)
    assert decisions["backtest"].action == "skip"
    assert decisions["summarize"].action == "run"
    assert decisions["summarize"].reason == f"its output is damaged: {summary} was altered"


def test_that_an_unreadable_manifest_means_the_step_is_redone(project: FlowProject) -> None:
    for manifest in project.state_dir.glob("outputs/report-*.json"):
        manifest.write_text("{")
    assert actions(plan(project))["report"] == "run"


def test_that_a_step_without_its_input_is_refused(fresh: FlowProject) -> None:
    with pytest.raises(ConfigError, match="Add 'backtest' to --steps"):
        plan(fresh, steps=("summarize",))


def test_that_an_unknown_step_is_refused(fresh: FlowProject) -> None:
    with pytest.raises(ConfigError, match=r"\['train'\] unknown"):
        plan(fresh, steps=("train",))


def test_that_training_before_the_timerange_must_be_stored(fresh: FlowProject) -> None:
    with pytest.raises(DataError, match="timerange without data") as error:
        plan(fresh, timerange="20240102-20240104")
    assert "holds 2024-01-01 00:00 to 2024-01-08 23:55" in str(error.value)


def test_that_a_missing_funding_file_is_named(fresh: FlowProject) -> None:
    path = fresh.datadir / "futures" / "ETH_USDT_USDT-1h-funding_rate.feather"
    path.unlink()
    with pytest.raises(DataError, match="no funding_rate file of ETH/USDT:USDT"):
        plan(fresh)


def test_that_a_missing_timeframe_is_named(fresh: FlowProject) -> None:
    fresh.change({"freqai": {"feature_parameters": {"include_timeframes": ["5m", "1h"]}}})
    with pytest.raises(DataError, match="no 1h candles of BTC/USDT:USDT"):
        plan(fresh)


def test_that_blacklisted_pairs_are_left_out(fresh: FlowProject) -> None:
    fresh.change({"exchange": {"pair_blacklist": [PAIRS[1]]}})
    assert resolve(Request(config=(str(fresh.root / "config.json"),))).pairs == PAIRS[:1]


def test_that_the_simulator_is_checked_before_it_starts(fresh: FlowProject) -> None:
    market = {"source": "simulator", "simulator": {"start": "2024-01-01", "days": 6}}
    fresh.change({"agent_market": {"market": market}})
    with pytest.raises(DataError, match="the simulator makes 2024-01-01 to 2024-01-07"):
        plan(fresh, timerange="20240105-20240109")
    with pytest.raises(DataError, match=r"unknown pair 'BTX/USDT:USDT'.*BTC/USDT:USDT"):
        plan(fresh, pairs=("BTX/USDT:USDT",))


def test_that_records_hold_no_secret(finished: FlowProject) -> None:
    files = list(finished.state_dir.rglob("*.json"))
    assert files
    assert not [path for path in files if "a-secret" in path.read_text()]
    record = json.loads((finished.runs()[0] / "run.json").read_text())
    assert record["state"] == "complete"
