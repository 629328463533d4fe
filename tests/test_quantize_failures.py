"""`swift quantize` when something is against it: a killed worker, a full disk, no layer to quantize, an environment with older code."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
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
