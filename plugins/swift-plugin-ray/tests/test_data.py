"""A corpus tokenised by Ray Data, of which a worker is killed: `make test-full LANE=ray`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_for

pytest.importorskip("ray")
COMMAND = [sys.executable, "-c", "import sys; from swift_core.start import main; sys.exit(main())"]


@pytest.fixture
def tokenize(tmp_path, tiny_model):
    rows = [{"text": f"{number}: snow on the road to the mountain, and a plough."} for number in range(20_000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def tokenize(output: str, executor: str) -> subprocess.Popen[bytes]:
        words = [
            "data",
            "tokenize",
            "rows.jsonl",
            "--task",
            "pretrain",
            "--model",
            str(tiny_model),
            "--output",
            output,
            "--executor",
            executor,
        ]
        return subprocess.Popen([*COMMAND, *words, "--rows-per-shard", "1000", "--json"], cwd=tmp_path, stdout=subprocess.PIPE)

    return tokenize


def workers() -> list[int]:
    """Return the processes of the actors."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::MapWorker" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.full("ray")
def test_a_killed_worker_loses_nothing(tokenize, tmp_path):
    local = tokenize("local.tokens", "local")
    on_ray = tokenize("ray.tokens", "ray:processes=2")
    wait_for(lambda: sum(1 for _ in (tmp_path / "ray.tokens").glob("*/shard.json")) >= 3, 300)
    victim = workers()[0]
    os.kill(victim, signal.SIGKILL)
    one, other = (json.loads(process.communicate(timeout=600)[0]) for process in (local, on_ray))
    assert one == other | {"output": "local.tokens"}
    assert one["rows"] == 20_000
    assert [(tmp_path / f"{name}.tokens" / "000019" / "ids.bin").read_bytes() for name in ("local", "ray")].count(
        (tmp_path / "local.tokens" / "000019" / "ids.bin").read_bytes()
    ) == 2


@pytest.mark.full("ray")
def test_processes_of_this_machine(tokenize, tmp_path):
    """The same shards; where a process is killed, it is said, and the same command continues."""
    one = json.loads(tokenize("one.tokens", "local").communicate()[0])
    two = tokenize("two.tokens", "local:processes=2")
    wait_for(lambda: sum(1 for _ in (tmp_path / "two.tokens").glob("*/shard.json")) >= 3, 300)
    children = subprocess.run(["pgrep", "-P", str(two.pid), "-f", "spawn_main"], capture_output=True, text=True, check=False).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)
    error = json.loads(two.communicate(timeout=300)[0])
    assert "a process was killed" in error["message"]
    again = json.loads(tokenize("two.tokens", "local:processes=2").communicate(timeout=600)[0])
    assert again == one | {"output": "two.tokens"}
