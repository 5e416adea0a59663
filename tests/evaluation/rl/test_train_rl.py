"""The command, over the windows of a small project."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent_market.evaluation.rl.experiment import HOLD, TREND
from agent_market.evaluation.rl.freqai_learner import LEARNER
from tests.flow_project import PAIRS, PROJECT, FlowProject, environment, write_small_market
from tests.parity.models import PARAMETERS

SCRIPT = PROJECT / "scripts" / "train_rl.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> FlowProject:
    project = FlowProject(
        tmp_path_factory.mktemp("project"),
        strategy="RLTrader",
        freqaimodel="PolicyTrader",
        freqai={
            "feature_parameters": {"label_period_candles": 2},
            "data_split_parameters": {"test_size": 0},
        },
    )
    # in place of those of another model, not over them
    project.config["freqai"]["model_training_parameters"] = PARAMETERS
    project.change({})
    write_small_market(project.datadir)
    (project.root / "user_data").mkdir()
    return project


def _train(project: FlowProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *[sys.executable, str(SCRIPT), "-c", str(project.root / "config.json")],
            *["--datadir", str(project.datadir), "--workers", "1", *arguments],
        ],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=PROJECT,
        env=environment(),
        check=False,
    )


@pytest.mark.timeout(300)
def test_that_the_command_writes_figures_a_page_and_logs(
    project: FlowProject, tmp_path: Path
) -> None:
    done = _train(
        project, "-p", "exact", "-p", "imitation", "--seeds", "2", "--tensorboard",
        "--cost-bps", "0.5", "--output", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    summary = json.loads((tmp_path / "policies.json").read_text())
    names = [row["name"] for row in summary["rows"]]
    assert names == ["exact", "imitation", TREND, HOLD]
    assert summary["experiment"]["pairs"] == list(PAIRS)
    for row in summary["rows"][:2]:
        assert len(row["seeds"]) == 2 and not row["not_trained"] and row["trades"] > 0
        assert row["spec"]["params"]["cost_bps"] == summary["experiment"]["cost_bps"] == 0.5
    assert (tmp_path / "policies.html").stat().st_size > 1_000_000
    assert list(tmp_path.glob("tensorboard/exact_seed_1/events.out.tfevents.*"))
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == f"Report: {tmp_path / 'policies.html'}" and "a-secret" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_that_freqais_own_learner_is_traded_beside_ours(
    project: FlowProject, tmp_path: Path
) -> None:
    done = _train(
        project, "-p", "imitation", "--seeds", "1", "--freqai-learner", "1",
        "--output", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = json.loads((tmp_path / "policies.json").read_text())["rows"]
    theirs = rows[-1]
    assert theirs["name"] == f"{LEARNER}, 1 cycles" and theirs["trades"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "exakt"], "there is no policy 'exakt'"),
        (["-c", "missing.json"], "missing.json"),
        (["--timerange", "20300101-20300201"], "BTC/USDT:USDT"),
    ],
)
def test_that_a_mistake_is_one_line(
    project: FlowProject,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    spec = importlib.util.spec_from_file_location("train_rl", SCRIPT)
    assert spec is not None and spec.loader is not None
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    options = ["-c", str(project.root / "config.json"), "--datadir", str(project.datadir)]
    with pytest.raises(SystemExit) as stopped:
        command.main([*options, *arguments, "--workers", "1", "--output", str(tmp_path)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "policies.json").exists()
