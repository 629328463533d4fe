"""The folder that TensorRT-LLM's documentation describes, and rejected checkpoints. The server itself needs a GPU and is not run."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess

import pytest
import yaml
from swift_plugin_tensorrt import swift_check
from swift_plugin_tensorrt.exporter import TensorrtExporter
from swift_plugin_tensorrt.options import TensorrtOptions
from swift_testing.kit.tiny import base, difference, logits

from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry


def run_with(folder, **options):
    source = Source(reference="file:tiny", path=str(folder), hash="", format="safetensors", family="")
    return Run(verb="export", job="", model=source, parts={"exporter": registry().choose("exporter", "tensorrt", options)})


def test_the_folder_is_the_checkpoint_with_settings_and_a_command(tiny_model, tmp_path):
    out = TensorrtExporter(TensorrtOptions(tensor_parallel_size=2, max_seq_len=256)).export(tiny_model, tmp_path / "out")
    assert difference(logits(base(tiny_model)), logits(base(out))) == 0
    settings = yaml.safe_load((out / "config.yml").read_text())
    assert settings["tensor_parallel_size"] == 2
    assert settings["kv_cache_config"] == {"free_gpu_memory_fraction": 0.9}
    script = out / "serve.sh"
    subprocess.run(["sh", "-n", script], check=True)
    words = shlex.split(script.read_text().splitlines()[-1])
    assert words[:2] == ["exec", "trtllm-serve"]
    assert words[words.index("--tp_size") + 1] == "2"
    assert words[words.index("--max_seq_len") + 1] == "256"


def test_the_command_passes_the_folder_and_extra_arguments(tiny_model, tmp_path):
    """A stand-in for the server prints its arguments."""
    out = TensorrtExporter(TensorrtOptions()).export(tiny_model, tmp_path / "out")
    server = tmp_path / "trtllm-serve"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n')
    server.chmod(0o755)
    done = subprocess.run(
        ["sh", "out/serve.sh", "--trust_remote_code"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    reported = done.stdout.splitlines()
    assert reported[0] == reported[1] == str(out)
    assert reported[-1] == "--trust_remote_code"


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"architectures": ["LlamaForCausalML"]}, {}, "the architecture LlamaForCausalML"),
        ({"quantization_config": {"quant_method": "gptq"}}, {}, "quantized with gptq"),
        ({}, {"tensor_parallel_size": 3}, "4 attention heads can't be divided among 3 GPUs"),
        ({}, {"pipeline_parallel_size": 3}, "2 layers can't be divided among 3 GPUs"),
    ],
)
def test_unsupported_checkpoints_are_rejected_before_anything_is_written(changed, options, message, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    (problem,) = swift_check(run_with(folder, **options))
    assert problem.fatal
    assert message in problem.message
    assert problem.hint


def test_modelopt_checkpoints_are_accepted(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "nvfp4"}}))
    (folder / "hf_quant_config.json").write_text(json.dumps({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}))
    assert list(swift_check(run_with(folder))) == []
