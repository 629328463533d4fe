"""`swift quantize` when something is against it: a killed worker, a full disk, no layer to quantize, an environment with older code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from swift_core.checkpoints.manifest import hash_files
from tests.waiting import HANG, wait_for

SLOW = """
import shutil
import time
from pathlib import Path

from swift_core import hookimpl
from swift_core.contract.specs import Engine, QuantizerSpec, Ref


class Slow:
    def __init__(self, options=None):
        pass

    def quantize(self, checkpoint, out, calibration):
        out.mkdir()
        (out / "half.safetensors").write_bytes(b"half")
        time.sleep(3600)


class Round:
    def __init__(self, options=None):
        pass

    def quantize(self, checkpoint, out, calibration):
        from safetensors.torch import load_file, save_file

        shutil.copytree(checkpoint, out, ignore=shutil.ignore_patterns("*.safetensors"))
        save_file(load_file(checkpoint / "model.safetensors"), out / "model.safetensors", {"format": "pt"})
        return {}


def spec(name, builds, **more):
    factory = Ref(f"swift_plugin_slow:{builds}")
    return QuantizerSpec(name=name, summary=name, factory=factory, when="offline", format="slow", bits=(8,), **more)


@hookimpl
def swift_quantizers():
    isolated = {"engines": (Engine(requirements=("torch",)),), "isolated": True}
    return [spec("slow", "Slow", **isolated), spec("round-isolated", "Round", **isolated), spec("round", "Round")]
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
    wait_for(lambda: list(tmp_path.glob(".out.*/half.safetensors")) or command.poll() is not None)
    assert command.poll() is None, command.communicate()[1]
    name = next(tmp_path.glob("runs/*")).name
    (worker,) = processes("swift_core.runs.worker", rf"{name} $")
    os.kill(worker, signal.SIGKILL)
    err = command.communicate(timeout=HANG)[1]
    assert command.returncode == 1
    assert "the worker ended with code 137 (killed" in err
    assert left(tmp_path) == {"model"}
    wait_for(lambda: not processes(name))
    assert left(tmp_path) == {"model"}


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["round", "round-isolated"])
def test_a_full_disk_is_named_and_nothing_is_left_on_it(quantizer, swift, distribution, tiny_model, elsewhere, tmp_path):  # noqa: PLR0917
    shutil.copytree(tiny_model, tmp_path / "model")
    before = hash_files(tmp_path / "model")
    distribution("swift-plugin-slow", SLOW)
    (tmp_path / "disk").mkdir()
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", tmp_path / "disk"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    envs = f'{{"round-isolated": "{elsewhere}"}}'
    command = shlex.join([sys.executable, "-m", "swift_core.cli", "quantize", "model", "--quantizer", quantizer, "--envs", envs])
    script = f"mount -t tmpfs -o size=200k tmpfs disk && {command} --output disk/out; code=$?; ls -A disk | sed 's/^/LEFT /'; exit $code"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "200"}
    words = ["unshare", "-Urm", "sh", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "disk/out: the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "LEFT" not in done.stdout
    assert hash_files(tmp_path / "model") == before


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
            (place / name).parent.mkdir(parents=True, exist_ok=True)
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
            {"swift_core/__init__.py": "", "swift_core/runs/__init__.py": "", "swift_core/runs/worker.py": OLDER},
            "has different swift-core code: its result lacks figures and own_reader",
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
