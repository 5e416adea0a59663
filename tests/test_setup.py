"""`make setup` says in one line what this machine lacks."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.freqtrade_process import PROJECT

OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.8.10"
[ "$1" = -c ] && exit 1
exit 0
"""
FULL_DISK = """#!/bin/sh
echo "Filesystem 1048576-blocks Used Available Capacity Mounted on"
echo "/dev/sda1 1000 950 50 95% /"
"""


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def _setup(folder: Path, python: str, path: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "scripts").mkdir()
    shutil.copy(PROJECT / "scripts" / "setup.sh", folder / "scripts")
    environment = os.environ | {"PYTHON": python, "PATH": path + os.environ["PATH"]}
    return subprocess.run(
        ["sh", "scripts/setup.sh"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("lack", ["python", "version", "disk"])
def test_that_a_lack_is_one_line_and_stops(lack: str, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    python, path, message = "python3", "", "only 50 MiB are free here"
    if lack == "python":
        python, message = "python-that-is-not-there", "was not found. Install Python 3.11"
    elif lack == "version":
        python = str(_program(tools / "old", OLD_PYTHON))
        message = "Python 3.8.10 is too old"
    else:
        _program(tools / "df", FULL_DISK)
        path = f"{tools}:"
    result = _setup(tmp_path, python, path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()
