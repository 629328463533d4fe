"""`swift quantize` when something is against it: a killed worker, a full disk, no layer to quantize, an environment with older code."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.waiting import wait_for

SLOW = """
import time
from pathlib import Path

from swift_core import hookimpl
from swift_core.specs import Engine, QuantizerSpec, Ref


class Slow:
    def __init__(self, options=None):
        pass

    def quantize(self, checkpoint, out, calibration):
        out.mkdir()
        (out / "half.safetensors").write_bytes(b"half")
        time.sleep(600)


@hookimpl
def swift_quantizers():
    factory, engine = Ref("swift_plugin_slow:Slow"), Engine(requirements=("torch",))
    here = {"factory": factory, "engines": (engine,), "isolated": True}
    return [QuantizerSpec(name="slow", summary="Slow", when="offline", format="slow", bits=(8,), **here)]
"""


@pytest.fixture
def elsewhere(tmp_path):
    """A Python of another environment, as far as we can tell: this one by another name, with the distributions of the test."""
    python = tmp_path / "there"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def left(folder: Path) -> set[str]:
    """What is in the folder of a test, but for what each has."""
    return {path.name for path in folder.iterdir()} - {"runs", "site", "there"}


def processes(*words: str) -> list[int]:
    """The processes whose command has all the words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(re.search(word, command) for word in words):
            found.append(int(place.parent.name))
    return found


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_the_engine_with_it(swift, distribution, tiny_model, elsewhere, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    distribution("swift-plugin-slow", SLOW)
    words = ["quantize", "model", "--quantizer", "slow", "--output", "out", "--envs", f'{{"slow": "{elsewhere}"}}']
    command = swift.popen(*words)
    wait_for(lambda: list(tmp_path.glob(".out.*/half.safetensors")) or command.poll() is not None, 120)
    assert command.poll() is None, command.communicate()[1]
    name = next(tmp_path.glob("runs/*")).name
    (worker,) = processes("swift_core.worker", rf"{name} $")
    os.kill(worker, signal.SIGKILL)
    err = command.communicate(timeout=60)[1]
    assert command.returncode == 1
    assert "the worker ended with code 137 (killed" in err
    assert left(tmp_path) == {"model"}
    wait_for(lambda: not processes(name))
    assert left(tmp_path) == {"model"}


OLDER = """
import json

print(json.dumps({"event": "result", "output": "", "figures": {"rows": 3}}))
"""


@pytest.fixture
def older(tmp_path):
    """Makes an environment that has the engine, and before it some files of its own."""

    def make(files):
        venv.create(tmp_path / "older", symlinks=True)
        place = next(tmp_path.glob("older/lib/python*/site-packages"))
        (place / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        for name, text in files.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(text)
        return tmp_path / "older/bin/python"

    return make


@pytest.mark.parametrize(
    ("files", "message", "upgrade"),
    [
        (
            {"swift_core-0.0.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: swift-core\nVersion: 0.0.9\n"},
            "has swift-core 0.0.9, and this one ",
            "-m pip install -U swift-core==",
        ),
        (
            {"swift_core/__init__.py": "", "swift_core/worker.py": OLDER},
            "has other code of ours than this one: it doesn't tell figures and own_reader",
            "-m pip install -U swift-core swift-plugin-slow",
        ),
    ],
)
@pytest.mark.slow
def test_an_environment_with_older_code_of_ours_is_named(files, message, upgrade, swift, distribution, tiny_model, older, tmp_path):  # noqa: PLR0917
    distribution("swift-plugin-slow", SLOW)
    python = older(files)
    refused = swift("quantize", str(tiny_model), "--quantizer", "slow", "--output", "out", "--envs", f'{{"slow": "{python}"}}')
    assert refused.code == 2
    assert f"envs: the environment of '{python}' {message}" in refused.err
    assert f"{python} {upgrade}" in refused.err
    assert left(tmp_path) == {"older"}
