"""An engine that spans several machines: the same command on each; those without an API are followed until they are stopped or fail."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swift_core.cli import invoke

SPANNING = """
import sys
from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref
from swift_serve.roles import Command

class Spanning:
    def __init__(self, options): ...
    def command(self, serving): raise AssertionError("a node has a command of its own")
    def add_adapter(self, server, name, path): ...
    def drop_adapter(self, server, name): ...
    def node_command(self, serving, node):
        assert (node.rank, node.nodes, node.address, node.port) == (1, 2, "10.0.0.1", 29500)
        work = "import time; print('computing', flush=True); time.sleep(LASTS); raise SystemExit(3)"
        return Command(argv=(sys.executable, "-c", work), ready="")

@hookimpl
def swift_backends():
    return [BackendSpec(name="spanning", summary="Spans machines", reads=("safetensors",), factory=Ref("spanning:Spanning"))]
"""
NODE = ["--engine-nodes", "2", "--node-rank", "1", "--master-addr", "10.0.0.1"]


@pytest.fixture
def started(tiny_model: Path, tmp_path: Path):
    """Starts the part of rank 1, which ends by itself after some seconds."""

    def start(lasts: float) -> subprocess.Popen[str]:
        (tmp_path / "spanning.py").write_text(SPANNING.replace("LASTS", str(lasts)))
        words = ["--plugin", "spanning.py", "serve", str(tiny_model), "--backend", "spanning", "--port", "0", *NODE]
        return subprocess.Popen(
            [sys.executable, "-m", "swift_core.cli", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


def test_a_machine_without_an_api_computes_until_it_is_stopped(started, tmp_path):
    process = started(600)
    deadline = time.monotonic() + 60
    while not any("computing" in log.read_text() for log in tmp_path.glob("runs/*/log.txt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "rank 0" in said
    assert process.returncode in (0, 130)


def test_its_failure_is_an_error(started):
    process = started(0)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "SERVE-076" in said


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["--engine-nodes", "2", "--node-rank", "2", "--master-addr", "a"], "node-rank"),
        (["--engine-nodes", "2"], "master-addr"),
        (["--node-rank", "1"], "engine-nodes"),
        (["--engine-nodes", "2", "--master-addr", "a"], "transformers"),
    ],
)
def test_machines_that_can_not_be_are_refused_before_the_run(tiny_model, tmp_path, capsys, words, place):
    assert invoke(["serve", str(tiny_model), "--runs", str(tmp_path / "runs"), *words]) == 2
    assert place in capsys.readouterr().err.replace("_", "-")
    assert not (tmp_path / "runs").exists()
