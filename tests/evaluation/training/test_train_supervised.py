"""The command, and that it predicts what `freqtrade backtesting` predicts."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from agent_market.bridge import load_plans, offline_specs, read_config
from agent_market.evaluation.training import Candidate, local_processes, run_candidates
from tests.evaluation.training.conftest import LABEL
from tests.flow_project import PAIRS, PROJECT, FlowProject, environment, write_small_market

SCRIPT = PROJECT / "scripts" / "train_supervised.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = FlowProject(tmp_path_factory.mktemp("project"))
    write_small_market(project.datadir)
    (project.root / "user_data").mkdir()
    return project


def _train(project, *arguments):
    return subprocess.run(
        [
            *[sys.executable, str(SCRIPT), "-c", str(project.root / "config.json")],
            *["--datadir", str(project.datadir), "--workers", "1", *arguments],
        ],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=PROJECT,
        env=environment(),
        check=False,
    )


def test_that_predictions_are_those_of_freqtrade_backtesting(project):
    """The same windows, rows and values, byte for byte, from another process and without FreqAI."""
    done = project.flow("run", "--steps", "data,backtest")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    config = read_config([project.root / "config.json"], {"datadir": str(project.datadir)})
    config["agent_market"]["state_dir"] = str(project.root / "other_state")  # no shared cache
    plans = load_plans(config)
    (((name, horizon), spec),) = offline_specs(config, [], list(plans)).items()
    assert (name, horizon) == ("catboost_regressor", 12)
    candidate = Candidate(name, horizon, spec)
    found = run_candidates([candidate], plans, local_processes(1))[candidate.key]
    models = project.root / "user_data" / "models"
    (folder,) = models.glob("small-*/backtesting_predictions")  # the flow's own identifier
    compared = 0
    for entry in found:
        coin = entry.plan.pair.split("/")[0].lower()
        files = sorted(folder.glob(f"cb_{coin}_*_prediction.feather"))
        assert len(files) == len(entry.plan.windows)
        stored = pd.concat(map(pd.read_feather, files)).sort_values("date")
        own = entry.frame[entry.frame["date"].isin(stored["date"])]
        assert len(own) == len(stored) == len(entry.frame)
        trusted = stored["do_predict"].to_numpy() == 1
        assert np.array_equal(own["trusted"], trusted) and trusted.sum() > 400
        assert np.array_equal(own[LABEL].to_numpy()[trusted], stored[LABEL].to_numpy()[trusted])
        compared += trusted.sum()
    assert len(found) == len(PAIRS) and compared > 1000


def test_that_the_command_writes_figures_and_a_page(project, tmp_path):
    done = _train(
        project, "-m", "catboost_regressor", "-m", "linear_regressor", "--horizon", "6",
        "--horizon", "12", "--ablate", "clock=^%-day", "--trials", "2", "--output", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    summary = json.loads((tmp_path / "training.json").read_text())
    assert [(each["model"], each["horizon_candles"]) for each in summary["models"]] == [
        ("catboost_regressor", 6),
        ("catboost_regressor", 12),
        ("linear_regressor", 6),
        ("linear_regressor", 12),
    ]
    catboost, linear = summary["models"][0], summary["models"][2]
    assert catboost["search"]["n_trials"] == 2 and summary["trials"]["searched"] == 8
    assert {"depth"} <= catboost["spec"]["params"].keys()
    assert "depth" not in linear["spec"]["params"]  # those of catboost mean nothing to it
    assert list(summary["experiment"]["groups"]) == ["clock"]
    assert not any(each["not_trained"] for each in summary["models"])
    assert summary["versions"]["optuna"] and len(summary["provenance"]["config_hash"]) == 64
    assert (tmp_path / "search.db").is_file()
    assert (tmp_path / "training.html").stat().st_size > 1_000_000
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == f"Report: {tmp_path / 'training.html'}" and "a-secret" not in done.stdout
    for heading in ("IC", "Sharpe", "catboost_regressor", "linear_regressor"):
        assert heading in done.stdout


def test_that_bare_options_need_no_value(project, tmp_path):
    done = _train(
        project, "--ablate", "--ray", "--model", "linear_regressor", "--output", str(tmp_path)
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    summary = json.loads((tmp_path / "training.json").read_text())
    assert len(summary["experiment"]["groups"]) > 2
    assert len(summary["models"][0]["ablation"][0]["groups"]) > 2


@pytest.fixture(scope="module")
def command():
    """The script as a module: most mistakes are cheaper to make in this process."""
    spec = importlib.util.spec_from_file_location("train_supervised", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "lightgbm_regresor"], "no model adapter 'lightgbm_regresor'"),
        (["--ablate", "news"], "not of the form name=regex"),
        (["--ablate", "x=absent_column"], "finds 0 of"),
        (["--trials", "0"], "--trials 0 is no budget"),
        (["--freqaimodel", "NoSuchModel"], "NoSuchModel"),
        (["-c", "missing.json"], "missing.json"),
        (["--timerange", "20300101-20300201"], "BTC/USDT:USDT"),
        (["-m", "linear_regressor", "--ray", "127.0.0.1:9"], "no Ray cluster answers"),
    ],
)
def test_that_a_mistake_is_one_line(project, command, capsys, tmp_path, arguments, message):
    options = ["-c", str(project.root / "config.json"), "--datadir", str(project.datadir)]
    with pytest.raises(SystemExit) as stopped:
        command.main([*options, *arguments, "--workers", "1", "--output", str(tmp_path)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "training.json").exists()


def test_that_a_mistake_ends_the_process_without_a_traceback(project, tmp_path):
    done = _train(project, "--trials", "-3", "--output", str(tmp_path))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip() == "error: --trials -3 is no budget. Give a number above 0."
