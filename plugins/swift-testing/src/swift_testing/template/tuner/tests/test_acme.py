"""Only the normalization layers are trained, and their weights are saved and restored."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from swift_plugin_acme.options import AcmeOptions
from swift_plugin_acme.tuner import Acme
from transformers import AutoModelForCausalLM

from swift_core.checkpoints import UNKNOWN

ROW = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model)


def test_only_the_norms_are_trainable(model):
    tuner = Acme(AcmeOptions())
    tuner.attach(model, UNKNOWN)
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert learning
    assert all("norm" in name for name in learning)
    assert len(tuner.parameter_groups(model)[0]["params"]) == len(learning)


def test_saved_weights_are_restored(model, tiny_model, tmp_path):
    tuner = Acme(AcmeOptions())
    tuner.attach(model, UNKNOWN)
    with torch.no_grad():
        for parameter in tuner.parameter_groups(model)[0]["params"]:
            parameter.add_(0.1)
    tuner.save(model, tmp_path)
    restored = tuner.restore(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path)
    ids = torch.arange(10)[None]
    assert torch.allclose(restored(ids).logits, model.eval()(ids).logits)


def test_swift_trains_with_it(tiny_model, swift_project):
    swift_project.write({"rows.jsonl": [ROW] * 4})
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "2", "--device", "cpu", "--json")
    outcome = swift_project.run("sft", "--tuner", "acme", *words)
    outcome.assert_success()
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(swift_project.folder / outcome.json()["output"] / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("norm" in name for name in changed)
