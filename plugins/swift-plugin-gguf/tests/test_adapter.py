"""LoRA adapters as GGUF: applied to the base's file they give the merged model's weights; adapters that llama.cpp lacks are rejected."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import gguf
import numpy as np
import pytest
from swift_plugin_gguf.exporter import GgufExporter
from swift_plugin_gguf.options import GgufOptions
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model
from swift_train.merge import merge
from swift_train.testing_adapters import learned_adapter, merge_run

from swift_core import export
from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import UsageError
from swift_core.runs.events import Report

pytestmark = pytest.mark.usefixtures("warm_workers")


def write(checkpoint, out, **options):
    return GgufExporter(GgufOptions(**{"type": "f32", **options})).export(checkpoint, out)


def tensors(file):
    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}


def three_files(base, folder, **options):
    """The base, the adapter and the merged model as GGUF files."""
    tuner = options.pop("tuner", "lora")
    learned_adapter(base, folder / "adapter", tuner, rank=4, **options)
    merge(merge_run(base, folder / "adapter", out=folder / "merged"), Report(folder))
    return [write(checkpoint, folder / f"{checkpoint.name}-gguf") for checkpoint in (base, folder / "adapter", folder / "merged")]


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 12},
        {"tuner": "rslora", "alpha": 6},
        {"config": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.down_proj": 20, "k_proj": 3}}},
    ],
)
def test_base_and_adapter_are_the_merged_model(options, tiny_model, tmp_path):
    base, adapter, merged = three_files(tiny_model, tmp_path, **options)
    keys = {name: field.contents() for name, field in gguf.GGUFReader(adapter).fields.items()}
    assert (keys["general.type"], keys["general.architecture"], keys["adapter.type"]) == ("adapter", "llama", "lora")
    halves, weights, expected = tensors(adapter), tensors(base), tensors(merged)
    changed = {name.removesuffix(".lora_a") for name in halves if name.endswith(".lora_a")}
    assert {f"blk.1.{part}.weight" for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")} <= changed
    for name in changed:
        a, b = halves[f"{name}.lora_a"], halves[f"{name}.lora_b"]
        weights[name] = weights[name] + keys["adapter.lora.alpha"] / len(a) * b @ a
    for name, weight in weights.items():
        np.testing.assert_allclose(weight, expected[name], atol=1e-5)


@pytest.mark.slow
def test_by_the_verb_with_a_manifest(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learned_adapter(tiny_model, tmp_path / "adapter")
    done = export(str(tmp_path / "adapter"), "gguf", type="f16", output="out")
    assert done.output.name == "model-lora-F16.gguf"
    manifest = Checkpoint.at(done.output.parent).manifest
    assert manifest.kind == "adapter"
    assert manifest.base["path"] == str(tiny_model)
    assert {tensor.tensor_type.name for tensor in gguf.GGUFReader(done.output).tensors} == {"F16"}


def test_adapters_that_llama_cpp_does_not_support_are_rejected(tiny_model, tmp_path):
    for name, tuner, options, problem in (
        ("dora", "dora", {}, "this is DoRA"),
        ("ia3", "ia3", {}, "this is IA3"),
        ("saved", "lora", {"modules_to_save": ["norm"]}, "norm.* can't be stored in a GGUF adapter"),
        ("head", "lora", {"targets": ["lm_head"]}, "output layer, which is tied to the embeddings"),
    ):
        learned_adapter(tiny_model, tmp_path / name, tuner, **options)
        with pytest.raises(UsageError, match=problem) as error:
            write(tmp_path / name, tmp_path / "out")
        assert "swift merge" in error.value.hint
    learned_adapter(tiny_model, tmp_path / "lora")
    with pytest.raises(UsageError, check=coded("EXPORT-013"), match=r"f32, f16, bf16.*q8_0"):
        write(tmp_path / "lora", tmp_path / "out", type="q8_0")
    assert not (tmp_path / "out").exists()


def test_a_base_that_was_moved_is_passed_as_an_option(tiny_model, tmp_path):
    base = shutil.copytree(tiny_model, tmp_path / "base")
    learned_adapter(base, tmp_path / "adapter")
    shutil.move(base, tmp_path / "elsewhere")
    with pytest.raises(UsageError, check=coded("EXPORT-017")) as error:
        write(tmp_path / "adapter", tmp_path / "out")
    assert "--base" in error.value.hint
    assert str(base) in error.value.message
    assert write(tmp_path / "adapter", tmp_path / "out", base=str(tmp_path / "elsewhere")).is_file()
    other = write_tiny_model(tmp_path / "other", seed=3)
    with pytest.raises(UsageError, check=coded("CKPT-039")):
        write(tmp_path / "adapter", tmp_path / "out2", base=str(other))


ASK = """
import json, sys, xllamacpp
model, lora = sys.argv[1:]
given = xllamacpp.CommonParams()
given.model.path, given.n_ctx, given.warmup = model, 256, False
if lora:
    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path, adapter.scale = lora, 1.0
    given.lora_adapters = [adapter]
question = {"prompt": [5, 17, 80, 33, 120, 7], "n_predict": 8, "temperature": 0, "n_probs": 20}
answer = xllamacpp.Server(given).handle_completions(question)
answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
print("ANSWER", json.dumps([[each["id"], each["logprob"]] for each in answer["choices"][0]["logprobs"]["content"]]))
"""


@pytest.mark.full("export")
def test_llama_cpp_lays_it_over_the_base(xllamacpp, tiny_model, tmp_path):
    base, adapter, merged = three_files(tiny_model, tmp_path, tuner="rslora", alpha=6)

    def ask(model, lora=""):
        command = [sys.executable, "-c", ASK, str(model), str(lora)]
        environment = {**os.environ, "PYTHONPATH": str(xllamacpp)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
        return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("ANSWER")).removeprefix("ANSWER"))

    found, expected = ask(base, adapter), ask(merged)
    assert [token for token, _ in found] == [token for token, _ in expected] != [token for token, _ in ask(base)]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-4)
