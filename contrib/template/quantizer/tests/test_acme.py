"""The weights are few values a row, the model is nearly what it was, and an adapter learns on it."""

from __future__ import annotations

import pytest
import torch
from swift_plugin_acme.options import AcmeOptions
from swift_plugin_acme.quantizer import Acme, rounded
from transformers import AutoModelForCausalLM

from swift_core.registry import registry


@pytest.fixture
def family():
    return registry().get("family", "llama")


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding(bits):
    weight = torch.randn(5, 300, generator=torch.manual_seed(0))
    after = rounded(weight, bits)
    step = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert all(len(row.unique()) <= 2**bits - 1 for row in after)
    assert ((after - weight).abs() <= step / 2 + 1e-6).all()


def test_a_loaded_model_is_rounded_but_for_its_head(tiny_model, family):
    whole = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, **Acme(AcmeOptions(bits=4)).load_arguments(family, "float32"))
    layer = model.model.layers[0].mlp.up_proj.weight
    assert max(len(row.unique()) for row in layer) <= 15
    assert torch.equal(model.lm_head.weight, whole.lm_head.weight)


def test_more_bits_are_nearer(tiny_model, family):
    ids = torch.arange(20)[None]
    want = AutoModelForCausalLM.from_pretrained(tiny_model)(ids).logits
    far = []
    for bits in (3, 5, 8):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, **Acme(AcmeOptions(bits=bits)).load_arguments(family, "float32"))
        far.append((model(ids).logits - want).abs().mean().item())
    assert far[0] > far[1] > far[2] > 0


def test_swift_trains_an_adapter_on_it(tiny_model, swift_project):
    row = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}
    swift_project.write({"rows.jsonl": [row] * 2})
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "1", "--device", "cpu", "--json")
    outcome = swift_project.run("sft", "--quantizer", "acme", "--quantizer.bits", "4", *words)
    outcome.assert_success()
