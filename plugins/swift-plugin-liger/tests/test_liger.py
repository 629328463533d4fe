"""Liger's kernels: refused where they can't run; in Triton's interpreter, a model's losses and gradients stay the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from swift_plugin_liger.kernels import Liger
from swift_testing.architectures import small_model
from swift_train.kernel_sets import kernel_sets

from swift_core.system import atomic_folder

REQUIREMENTS = ("liger-kernel==0.8.5", "triton==3.9.0")
KINDS = {
    "llama": {"LigerRMSNorm", "LigerSwiGLUMLP", "liger_rotary_pos_emb"},
    "mistral": {"LigerRMSNorm", "LigerSwiGLUMLP", "liger_rotary_pos_emb"},
    "qwen2": {"LigerRMSNorm", "LigerSwiGLUMLP", "liger_rotary_pos_emb"},
    "qwen3": {"LigerRMSNorm", "LigerSwiGLUMLP", "liger_rotary_pos_emb"},
    "gemma2": {"LigerGEGLUMLP"},
    "phi3": {"LigerRMSNorm"},
}


def test_the_set_is_installed_and_says_what_is_missing():
    assert kernel_sets()["liger"] == "swift_plugin_liger.kernels:Liger"
    assert Liger().missing() in ("", "swift-plugin-liger[engine]")


@pytest.fixture(scope="module")
def libraries(kept: Path) -> Path:
    """A folder with Liger and Triton, which the environment of a machine without a GPU does not have."""
    folder = kept / "+".join(REQUIREMENTS)
    if not folder.is_dir():
        with atomic_folder(folder) as aside:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(aside), *REQUIREMENTS]
            subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def found(libraries: Path) -> dict[str, dict]:
    script = Path(__file__).parent / "interpreted.py"
    env = {**os.environ, "PYTHONPATH": str(libraries), "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, str(script), *KINDS], capture_output=True, text=True, check=False, env=env)
    assert not done.returncode, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.full("kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_the_models_own_operations(found, kind):
    one = found[kind]
    assert one["name"] == "liger"
    assert KINDS[kind] <= set(one["replaced"])
    assert one["loss"] < 1e-5
    assert one["gradient"] < 1e-4


@pytest.mark.full("kernels")
def test_a_cpu_without_the_interpreter_and_an_unknown_model_are_refused(libraries, monkeypatch):
    monkeypatch.syspath_prepend(str(libraries))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "CPU" in Liger().unsuitable(small_model("llama"), torch.device("cpu"))
    assert "gpt2" in Liger().unsuitable(small_model("gpt2"), torch.device("cuda"))
