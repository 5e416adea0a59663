"""The server as a process: start, refusals in one line, orderly end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from agent_market.errors import ConfigError
from agent_market.market.replay import launch_replay

PROJECT = Path(__file__).resolve().parents[3]
SCRIPT = PROJECT / "scripts" / "replay_exchange.py"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30
    )


def test_that_a_busy_port_is_said_in_one_line(datadir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_script("--datadir", str(datadir), "--port", str(port))
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if " INFO " not in line]
    assert f"port {port}" in line and "in use" in line and "--port" in line


@pytest.mark.parametrize(("folder", "said"), [("gone", "does not exist"), ("", "no candles")])
def test_that_unusable_data_is_said_in_one_line(tmp_path: Path, folder: str, said: str) -> None:
    ended = run_script("--datadir", str(tmp_path / folder), "--port", "0")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert said in line and "--datadir" in line


def test_that_an_unknown_fault_is_said_in_one_line(datadir: Path) -> None:
    ended = run_script("--datadir", str(datadir), "--fault", "eror_share=0.1")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "eror_share" in line and "error_share" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_that_ctrl_c_ends_the_server_cleanly(datadir: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(SCRIPT), "--datadir", str(datadir), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert "serving" in server.stdout.readline()
        server.send_signal(number)
        out, err = server.communicate(timeout=10)
    assert server.returncode == 0
    assert "stopped" in out and "Traceback" not in err


def test_that_the_server_answers_within_three_seconds_of_its_start(datadir: Path) -> None:
    begin = time.monotonic()
    with launch_replay(datadir) as replay:
        assert urllib.request.urlopen(f"{replay.url}/api/v3/ping", timeout=5).read() == b"{}"
        assert time.monotonic() - begin < 3
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{replay.url}/api/v3/ping", timeout=5)


def test_that_launching_on_bad_data_repeats_the_servers_own_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no candles"), launch_replay(tmp_path):
        pass


def test_that_the_server_does_not_outlive_its_parent(datadir: Path) -> None:
    parent = (
        "import os, sys; from pathlib import Path; "
        "from agent_market.market.replay import launch_replay\n"
        "with launch_replay(Path(sys.argv[1])) as replay:\n"
        "    print(replay.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", parent, str(datadir)], capture_output=True, text=True, timeout=30
    )
    pid = int(ended.stdout)
    for _ in range(100):
        if not is_running(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the server still ran 10 s after its parent had been killed")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
