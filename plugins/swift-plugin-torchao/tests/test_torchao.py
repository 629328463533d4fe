"""torchao while loading and saved: quantized layers, reloading, and training an adapter on them."""

from __future__ import annotations

import pytest
import torch
from swift_testing.kit import tiny
from swift_train import build
from swift_train.build import load_checkpoint

from swift_core import quantize
from swift_core.checkpoints import Checkpoint
from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry

pytest.importorskip("torchao", reason="pip install 'swift-plugin-torchao[engine]'")

INPUTS = torch.arange(3, 43).reshape(2, 20)


def run_with(folder, tuner="", **options):
    parts = {"quantizer": registry().choose("quantizer", "torchao", options)}
    if tuner:
        parts["tuner"] = registry().choose("tuner", tuner)
    source = Source(reference="file:tiny", path=str(folder), hash="", format="safetensors", family="")
    return Run(verb="sft", job="", model=source, parts=parts, options={"device": "cpu", "dtype": "float32"})


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=INPUTS).logits


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_saved_checkpoint_reloads_unchanged(kind, tiny_model, tmp_path):
    out = tmp_path / "small"
    quantizer = {"name": "torchao", "kind": kind}
    done = quantize(tiny_model, quantizer, device="cpu", verify={"tokens": 64}, output=str(out), runs=str(tmp_path / "runs"))
    assert 0 < done.figures["kl"] < 0.1
    assert done.figures["bytes"] < done.figures["bytes_before"]
    assert Checkpoint.at(out).config["quantization_config"]["quant_method"] == "torchao"
    again = load_checkpoint(out, device="cpu", dtype="float32").model
    assert "embed" not in " ".join(name for name, weight in again.named_parameters() if type(weight).__name__ != "Parameter")
    torch.testing.assert_close(logits(again), logits(build.load_base(run_with(tiny_model, kind=kind)).model), atol=1e-5, rtol=0)


def test_an_adapter_is_trained_on_it(tiny_model):
    run = run_with(tiny_model, "lora")
    tuner = run.parts["tuner"].build()
    model = build.attach(run, build.load_base(run).model, tuner)
    optimizer = torch.optim.AdamW(tuner.parameter_groups(model), lr=1e-2)
    losses = tiny.learn(model, optimizer, 4)
    assert losses[-1] < losses[0] - 0.1


def test_training_the_quantized_weights_is_rejected(tiny_model):
    from swift_plugin_torchao import swift_check

    (problem,) = swift_check(run_with(tiny_model, "full"))
    assert "'full'" in problem.message
    assert problem.fatal
    assert list(swift_check(run_with(tiny_model, "lora"))) == []


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_an_adapter_on_it_is_merged(kind, tiny_model, tmp_path):
    from swift_train.merge import merge
    from swift_train.testing_adapters import learned_adapter, merge_run

    from swift_core.runs.events import Report

    small = tmp_path / "small"
    quantizer = {"name": "torchao", "kind": kind}
    quantize(tiny_model, quantizer, device="cpu", verify=False, output=str(small), runs=str(tmp_path / "runs"))
    learned_adapter(small, tmp_path / "adapter", dropout=0)
    out, figures = merge(merge_run(small, tmp_path / "adapter", out=tmp_path / "out", dtype="float32"), Report(tmp_path))
    assert "quantization_config" not in Checkpoint.at(out).config
    assert figures["max_logit_difference"] < 1e-3 < figures["adapter_effect"]
