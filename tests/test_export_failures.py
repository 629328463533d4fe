"""`swift export` when something is against it: a full disk, a kill in the middle, an output that is there, what is no plain checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.home import environment_with
from tests.waiting import HANG, wait_for

pytest.importorskip("swift_plugin_gguf")

SLOW = """
import time
from pathlib import Path

from swift_core import hookimpl
from swift_core.contract.specs import ExporterSpec, Ref


class Slow:
    def __init__(self, options=None):
        pass

    def export(self, checkpoint, out):
        out.mkdir()
        (out / "half.bin").write_bytes(b"half")
        Path("begun").touch()
        time.sleep(3600)


@hookimpl
def swift_exporters():
    return [ExporterSpec(name="slow", summary="Slow", factory=Ref("slowly:Slow"), reads=("safetensors",), writes="x")]
"""


@pytest.fixture
def model(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_output_that_is_there_is_kept(swift, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    refused = swift("export", "model", "--to", "gguf", "--output", "out")
    assert refused.code == 2
    assert "'out' exists" in refused.err
    assert names(tmp_path / "out") == ["mine.txt"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architectures": ["LlamaForCausalML"]}, "Did you mean 'LlamaForCausalLM'?"),
        ({"quantization_config": {"quant_method": "gptq"}}, "already quantized (gptq)"),
    ],
)
def test_what_it_can_not_take_is_refused_before_a_run_is_made(swift, model, tmp_path, changed, message):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changed}))
    refused = swift("export", "model", "--to", "gguf", "--output", "out")
    assert refused.code == 2
    assert message in refused.err
    assert names(tmp_path) == ["model"]


def test_another_format_is_refused_with_what_makes_it(swift, model, tmp_path):
    python = environment_with("cyllama", "0.2.18", tmp_path / "env")  # the engine of gguf-k, by its name
    refused = swift("export", "model", "--to", "gguf-k", "--output", "out", "--envs", json.dumps({"gguf-k": str(python)}))
    assert refused.code == 2
    assert "gguf-k reads gguf checkpoints, but 'file:model' is safetensors" in refused.err
    assert "Export it first: --to gguf" in refused.err
    assert names(tmp_path) == ["env", "model"]


def test_an_absent_engine_is_said_with_the_command_that_makes_its_environment(swift, model, tmp_path):
    refused = swift("export", "model", "--to", "gguf-k", "--output", "out")
    assert refused.code == 2
    assert "the engine of the exporter 'gguf-k' is not installed here" in refused.err
    assert "swift env create gguf-k" in refused.err
    assert names(tmp_path) == ["model"]


@pytest.mark.slow
def test_killed_in_the_middle_nothing_has_the_name(swift, model, tmp_path):
    (tmp_path / "slowly.py").write_text(SLOW)
    process = swift.popen(
        "--plugin", "slowly.py", "export", "model", "--to", "slow", "--output", "out", "--no-verify", start_new_session=True
    )
    wait_for(lambda: (tmp_path / "begun").exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    assert not (tmp_path / "out").exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(HANG)
    process.stdout.close()
    process.stderr.close()
    assert not (tmp_path / "out").exists()
    done = json.loads(swift("export", "model", "--to", "gguf", "--output", "out", "--no-verify", "--json").out)
    assert done["status"] == "done"


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing(model, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    swift = f"{sys.executable} -m swift_core.cli export model --to gguf --type f32 --output disk/out"
    script = f"cd {tmp_path} && mount -t tmpfs -o size=200k tmpfs disk && {swift}; code=$?; ls -A disk | sed 's/^/LEFT /'; exit $code"
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "LEFT" not in done.stdout
