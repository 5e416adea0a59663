"""`scripts/analyst_report.py` beside a configuration and a bot's files that it must not touch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agents.test_analyst_agent import GOOD, SUMMARY, WRONG
from tests.conftest import PROJECT
from tests.llm.fault_server import answering, serve

KEY = "sk-0123456789abcdef-analyst"
REPORT, EXCHANGES = Path("state/analyst/report.md"), Path("state/analyst/exchanges.jsonl")


def _project(folder: Path, llm: dict[str, object]) -> None:
    settings = {"llm": llm, "state_dir": "state", "flow": {"summary_path": "summary.json"}}
    (folder / "config.json").write_text(json.dumps({"agent_market": settings}))
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "state").mkdir()
    (folder / "state" / "bias.json").write_text("{}")


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "analyst_report.py"), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _files(folder: Path) -> dict[Path, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in found}


def test_that_a_run_writes_report_and_record_and_replays_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYST_KEY", KEY)
    with serve(answering(f"{GOOD[0]}\n{WRONG['another figure']}\nYour key is {KEY}.")) as server:
        _project(tmp_path, {"base_url": server.url, "api_key_env": "ANALYST_KEY", "tries": 1})
        before = _files(tmp_path)
        first = _run(tmp_path)
        assert first.returncode == 0, first.stderr
    after = _files(tmp_path)
    assert set(after) - set(before) == {REPORT, EXCHANGES}
    assert {path: after[path] for path in before} == before
    assert not any(KEY.encode() in content for content in after.values())
    assert f"- {GOOD[0]}" in first.stdout and "97.50" not in first.stdout
    again = _run(tmp_path, "--replay", str(EXCHANGES), "--output", "again.md")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.md").read_bytes() == after[REPORT]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("llm", "why"),
    [
        ({}, "no language model is set"),
        ({"base_url": "http://127.0.0.1:9/v1"}, "language model at http://127.0.0.1:9/v1"),
        ({"base_url": "http://127.0.0.1:9/v1", "api_key_env": "NOT_SET_HERE"}, "holds no key"),
    ],
)
def test_that_the_template_writes_where_no_model_can(
    llm: dict[str, object], why: str, tmp_path: Path
) -> None:
    _project(tmp_path, llm)
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert why in done.stderr
    report = (tmp_path / REPORT).read_text()
    assert "Written by the template. Why not by the language model alone: " in report
    assert why in report and "2.21 % [totals.max_drawdown_percent]" in report


def test_that_a_mistake_is_one_line_and_no_configuration_is_written(tmp_path: Path) -> None:
    _project(tmp_path, {})
    before = _files(tmp_path)
    for options, told in (
        (("--output", "config.json"), "the report goes into a Markdown file"),
        (("--summary", "none.json"), "no summary at none.json"),
        (("--replay", "none.jsonl"), "there is no record of exchanges"),
    ):
        done = _run(tmp_path, *options)
        assert done.returncode == 2 and told in done.stderr
        assert [line for line in done.stderr.splitlines() if "error:" in line] == [
            done.stderr.splitlines()[-1]
        ]
    assert _files(tmp_path) == before


def test_that_the_command_loads_nothing_that_trades_or_patches() -> None:
    code = "import sys, scripts.analyst_report; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "agents.analyst_agent" in loaded
    for name in (
        *("freqtrade", "freqtrade_client", "ccxt", "requests"),
        *("agent_market.bridge", "agent_market.decisions"),
        *("agent_market.flow.patching", "agent_market.flow.patch_command"),
    ):
        assert name not in loaded
