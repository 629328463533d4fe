"""The weights take one byte each, the logits change little, and an adapter can be trained."""

from __future__ import annotations

import pytest
import torch
from swift_plugin_acme.options import AcmeOptions
from swift_plugin_acme.quantizer import Acme, Int8Linear
from transformers import AutoModelForCausalLM

from swift_core.contract import ModelFamily
from swift_core.plugins import registry


@pytest.fixture
def family():
    return registry().get(ModelFamily, "llama")


def test_weights_are_rounded_to_nearest():
    whole = torch.nn.Linear(300, 5)
    layer = Int8Linear(whole)
    step = whole.weight.abs().amax(dim=1, keepdim=True) / 127
    assert layer.weight.dtype == torch.int8
    assert ((layer.weight * layer.scale - whole.weight).abs() <= step / 2 + 1e-6).all()
    x = torch.randn(2, 300)
    assert torch.allclose(layer(x), whole(x), atol=0.05)


def test_a_loaded_model_is_quantized_except_its_head(tiny_model, family):
    whole = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, **Acme(AcmeOptions()).load_arguments(family, "float32"))
    assert isinstance(model.model.layers[0].mlp.up_proj, Int8Linear)
    assert torch.equal(model.lm_head.weight, whole.lm_head.weight)
    ids = torch.arange(20)[None]
    assert (model(ids).logits - whole(ids).logits).abs().mean() < 0.05 * whole(ids).logits.std()


def test_skipped_modules_are_not_quantized(tiny_model, family):
    model = AutoModelForCausalLM.from_pretrained(tiny_model, **Acme(AcmeOptions(skip=["o_proj"])).load_arguments(family, "float32"))
    assert not isinstance(model.model.layers[0].self_attn.o_proj, Int8Linear)
    assert isinstance(model.model.layers[0].self_attn.q_proj, Int8Linear)


def test_swift_trains_an_adapter_on_it(tiny_model, swift_project):
    row = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}
    swift_project.write({"rows.jsonl": [row] * 2})
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "1", "--device", "cpu", "--json")
    outcome = swift_project.run("sft", "--quantizer", "acme", "--quantizer.skip", "o_proj", *words)
    outcome.assert_success()
