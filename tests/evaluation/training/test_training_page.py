import json
import re
from datetime import UTC, datetime

import pytest

from agent_market.errors import ConfigError
from agent_market.evaluation.training import (
    Candidate,
    Experiment,
    SearchBudget,
    local_processes,
    run_experiment,
    write_page,
)
from tests.evaluation.training.conftest import HORIZON, spec

STAMP = datetime(2024, 2, 1, tzinfo=UTC)
HOSTILE = "</script><script>alert(1)</script><b onclick=x>&\"'"


@pytest.fixture
def experiment(make_plan):
    plans = {
        HORIZON: [make_plan(), make_plan("ETH/USDT:USDT", seed=1)],
        8: [make_plan(horizon=8, strength=0.0)],
    }
    candidates = [
        Candidate("lightgbm_regressor", HORIZON, spec()),
        Candidate("linear_regressor", 8, spec("linear_regressor", horizon_candles=8)),
    ]
    return Experiment(
        plans,
        candidates,
        "5m",
        seed=7,
        groups={"noise": "noise"},
        search=SearchBudget(trials=2),
        provenance={"config_hash": "0f" * 32},
        versions={"numpy": "2"},
    )


@pytest.fixture
def summary(experiment, tmp_path):
    return run_experiment(experiment, local_processes(1), tmp_path)


def test_that_the_figures_are_plain_json_and_the_same_twice(experiment, summary, tmp_path):
    again = run_experiment(experiment, local_processes(1), tmp_path / "again")
    text = json.dumps(summary, allow_nan=False)
    assert text == json.dumps(again) and json.loads(text) == summary
    assert summary["schema"] == 1 and summary["trials"] == {
        "searched": 4,
        "scored_out_of_sample": 4,
    }
    assert [model["horizon_candles"] for model in summary["models"]] == [HORIZON, 8]
    first = summary["models"][0]
    assert first["search"]["n_trials"] == 2 and first["spec"]["seed"] == 7
    assert first["ablation"][0]["groups"][0]["group"] == "noise"
    assert summary["provenance"]["config_hash"] == "0f" * 32
    assert summary["experiment"]["seed"] == 7 and summary["versions"] == {"numpy": "2"}


def test_that_the_stages_are_told(experiment, tmp_path):
    told = []
    run_experiment(experiment, local_processes(1), tmp_path, lambda *stage: told.append(stage))
    assert ("search lightgbm_regressor h4", 2, 2) in told
    # (5 windows x 2 pairs + 5 windows x 1 pair) x (all features, without noise)
    assert [done for stage, done, total in told if stage == "train"] == list(range(31))
    assert told[-1] == ("score", 2, 2)


def test_that_every_chart_is_drawn_without_an_error_or_a_request(summary, browse, tmp_path):
    page = tmp_path / "training.html"
    write_page(summary, {"exchange": {"key": "s3cret", "name": "binance"}}, page, STAMP)
    text = page.read_text()
    assert "s3cret" not in text and "(removed)" in text
    document, console, netlog = browse(page, "--dump-dom")
    assert console == []
    charts = re.findall(r'<div class="chart[^"]*" id="([^"]+)"', document)
    assert charts == [
        "quality", "earnings",
        "windows-0-0", "ablation-0-0", "importance-0",
        "windows-1-0", "ablation-1-0", "importance-1",
    ]  # fmt: skip
    drawn = [part for part in re.split(r'<div class="chart', document)[1:] if "main-svg" in part]
    assert len(drawn) == len(charts)
    requested = [
        event["params"]["url"]
        for event in netlog["events"]
        if (event.get("params") or {}).get("url", "").startswith(("http", "ws"))
        and event["params"].get("initiator") not in (None, "not an origin")
    ]
    assert requested == []


def test_that_a_loss_is_shown_as_a_loss(summary, tmp_path):
    write_page(summary, {}, tmp_path / "training.html", STAMP)
    text = (tmp_path / "training.html").read_text()
    net = summary["models"][1]["labels"][0]["overall"]["strategy"]["net"]["return_percent"]
    assert net < 0 and f"\N{MINUS SIGN}{-net:.2f} %" in text
    assert "What is not proven" in text and "the next candle&#x27;s open" in text
    assert "6 bps" in text and "4 scored here" in text


def test_that_hostile_text_stays_text(summary, tmp_path):
    summary["models"][0]["model"] = HOSTILE
    summary["models"][0]["not_trained"] = [HOSTILE]
    summary["models"][0]["labels"][0]["label"] = HOSTILE
    for row in summary["models"][0]["labels"][0]["by_pair"]:
        row["pair"] = HOSTILE
    summary["models"][0]["ablation"][0]["groups"][0]["group"] = HOSTILE
    summary["experiment"]["models"] = [HOSTILE]
    write_page(summary, {HOSTILE: HOSTILE}, tmp_path / "training.html", STAMP)
    text = (tmp_path / "training.html").read_text()
    assert "<b onclick" not in text and "alert(1)</script>" not in text


def test_that_a_simulated_market_says_so_and_gives_the_truth(experiment, tmp_path):
    planted = {"signal": "order_flow", "information_coefficient": {"4": 0.12, "8": 0.1}}
    manifest = {"kind": "simulated", "planted": [planted], "statement": ["All is made up."]}
    simulated = Experiment(**{**vars(experiment), "manifest": manifest, "search": None})
    summary = run_experiment(simulated, local_processes(1), tmp_path)
    truth = [model["planted"][0]["true_ic_at_horizon"] for model in summary["models"]]
    assert truth == [0.12, 0.1]
    write_page(summary, {}, tmp_path / "training.html", STAMP)
    text = (tmp_path / "training.html").read_text()
    assert "Simulated market" in text and "All is made up." in text


def test_that_a_contradiction_is_refused(experiment, tmp_path):
    for change in (
        {"candidates": [*experiment.candidates, experiment.candidates[0]]},
        {"groups": {"absent": "no such column"}},
        {"cost_bps": -1.0},
    ):
        wrong = Experiment(**{**vars(experiment), **change})
        with pytest.raises(ConfigError):
            run_experiment(wrong, local_processes(1), tmp_path)
