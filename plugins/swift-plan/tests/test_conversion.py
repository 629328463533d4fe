"""The plans of merge, quantize and export: what is written, and the memory of the process that does it."""

from __future__ import annotations

import os
import sys

import pytest
from swift_plan import plan
from swift_plan.checkpoint_shapes import Shapes, Weight, shapes_of
from swift_plan.conversion import exported_bytes
from swift_plan.formula import loaded_bytes
from swift_testing.rig import write_tiny_model
from swift_train.testing import ragged_chats, training_run, write_rows

from swift_core.api import resolved
from swift_core.plugins import registry
from swift_core.system import size_of

GIB = 2**30
LARGE = {"vocab_size": 16_000, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 12}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of 72 million weights."""
    return write_tiny_model(tmp_path_factory.mktemp("conversion") / "model", **LARGE, num_key_value_heads=4)


@pytest.mark.parametrize(("exporter", "kind"), [("gguf", "q8_0"), ("gguf", "f16"), ("safetensors", "bfloat16"), ("safetensors", "auto")])
def test_an_export_is_as_large_as_planned(large, tmp_path, exporter, kind):
    choice = registry().choose("exporter", exporter, {"type": kind})
    written = choice.build().export(large, tmp_path / "out")
    real = max(written.stat().st_size, sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors")))
    assert exported_bytes(shapes_of(large), choice) == pytest.approx(real, rel=0.02)


def test_quantized_weights_are_as_large_as_planned(large, tmp_path):
    from dataclasses import replace

    from swift_train.build import load_with

    run = training_run(large, write_rows(tmp_path / "rows.jsonl", ragged_chats(2)))
    choice = registry().default("quantizer", "bnb")
    model = load_with(replace(run, parts={**run.parts, "quantizer": choice}), device="cpu", dtype="float32", quantizer=choice).model
    model.save_pretrained(tmp_path / "out")
    assert loaded_bytes(shapes_of(large), "float32", choice) == pytest.approx(size_of(tmp_path / "out"), rel=0.02)


def planned(verb, **options):
    return {phase.name: dict(phase.parts) for phase in plan(resolved(verb, options), device="h100").phases}


@pytest.fixture
def narrow(tmp_path):
    """A model whose weights are stored in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = write_tiny_model(tmp_path / "narrow")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def test_dtypes_in_which_a_conversion_computes(narrow):
    """An export is compared in float32; a quantizer loads packed weights, and is compared in the run's dtype."""
    count = shapes_of(narrow).parameters
    exported = planned("export", model=str(narrow), exporter="gguf")
    assert exported["evaluate"]["weights"] == 4 * count
    assert "weights" not in exported["step"]
    assert "evaluate" not in planned("export", model=str(narrow), exporter="gguf", verify=False)
    quantized = planned("quantize", model=str(narrow), quantizer="bnb")
    assert quantized["load"]["weights"] < 2 * count
    assert quantized["evaluate"]["weights"] == 2 * count


def test_a_merge_computes_in_float32_and_writes_what_is_stored(narrow, tmp_path):
    from swift_train.build import attach, load_base

    run = training_run(narrow, write_rows(tmp_path / "rows.jsonl", ragged_chats(2)))
    adapter = attach(run, load_base(run).model, run.part("tuner").build())
    adapter.save_pretrained(tmp_path / "adapter")
    found = plan(resolved("merge", {"model": str(narrow), "adapter": [str(tmp_path / "adapter")]}), device="h100")
    count = shapes_of(narrow).parameters
    assert found.phases[0].parts["weights"] == 4 * count
    assert 0 < found.phases[0].parts["adapter"] == (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    assert found.disk["output"] == 2 * count


def test_without_a_type_an_export_is_a_copy():
    shapes = Shapes({"a.weight": Weight((10, 10), 200)})
    assert exported_bytes(shapes, registry().default("exporter", "tensorrt")) == 200


CASES = {
    "export": ["--to", "gguf", "--type", "q8_0", "--verify.max-kl", "10"],
    "quantize": ["--quantizer", "bnb", "--verify.max-kl", "10"],
}


@pytest.mark.full("plan")
@pytest.mark.parametrize("verb", CASES)
def test_the_memory_of_a_conversion(large, tmp_path, verb):
    """The resident memory of all processes of the command at its highest, within 20 %."""
    words = [verb, str(large), *CASES[verb], "--output", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    command = [sys.executable, "-P", "-m", "swift_core.cli", *words]
    pid = os.posix_spawn(sys.executable, command, dict(os.environ), file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    options = {"quantize": {"quantizer": "bnb"}, "export": {"exporter": {"name": "gguf", "type": "q8_0"}}}[verb]
    found, measured = plan(resolved(verb, {"model": str(large), **options})), usage.ru_maxrss * 1024
    print(f"{verb}: planned {found.peak / GIB:.2f} GiB, measured {measured / GIB:.2f} GiB, {found.peak / measured - 1:+.0%}")
    assert found.peak == pytest.approx(measured, rel=0.2)
