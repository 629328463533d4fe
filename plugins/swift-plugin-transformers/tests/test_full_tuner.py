"""The tuners of the model's own weights, and AdamW."""

from __future__ import annotations

import pytest
import torch
from swift_plugin_transformers.optimizer import AdamW
from swift_plugin_transformers.options import FreezeOptions
from swift_plugin_transformers.tuners import FreezeTuner, FullTuner
from swift_testing.codes import coded
from swift_train.optimizer_options import AdamOptions
from transformers import AutoModelForCausalLM

from swift_core.contract.errors import UsageError
from swift_core.contract.specs import ModelFamily
from swift_core.options.model import Invalid

FAMILY = ModelFamily(name="llama", summary="Llama", architectures=("LlamaForCausalLM",))
INPUTS = torch.arange(3, 43).reshape(2, 20)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=INPUTS).logits


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def step(tuner, model):
    optimizer = AdamW(AdamOptions()).build(tuner.parameter_groups(model), 1e-2)
    model.train()(input_ids=INPUTS, labels=INPUTS).loss.backward()
    optimizer.step()


def test_full_trains_all_and_saves_a_whole_model(tiny_model, tmp_path):
    tuner = FullTuner()
    model = tuner.attach(load(tiny_model), FAMILY)
    assert learning(model) == {name for name, _ in model.named_parameters()}
    step(tuner, model)
    tuner.save(model, tmp_path)
    assert not torch.equal(logits(model), logits(load(tiny_model)))
    assert torch.equal(logits(load(tmp_path)), logits(model))
    restored = tuner.restore(load(tiny_model), tmp_path)
    assert torch.equal(logits(restored), logits(model))
    assert tuner.merge(restored) is restored


def test_full_saves_gathered_weights(tiny_model, tmp_path):
    tuner, model = FullTuner(), load(tiny_model)
    tuner.save(model, tmp_path, {name: torch.full_like(parameter, 0.5) for name, parameter in model.named_parameters()})
    assert all((parameter == 0.5).all() for parameter in load(tmp_path).parameters())


def test_full_refuses_a_quantized_model(tiny_model):
    model = load(tiny_model)
    model.is_quantized = True
    with pytest.raises(UsageError, check=coded("TUNER-019")):
        FullTuner().attach(model, FAMILY)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"last_blocks": 1}, lambda name: name.startswith("model.layers.1.")),
        ({"first_blocks": 1}, lambda name: name.startswith("model.layers.0.")),
        ({"spread_blocks": 1}, lambda name: name.startswith("model.layers.1.")),
        ({"spread_blocks": 2}, lambda name: name.startswith("model.layers.")),
        ({"train": ["model.norm", "model.layers.0.mlp."]}, lambda name: name.startswith(("model.norm.", "model.layers.0.mlp."))),
        ({"train_regex": r"\.mlp\.", "freeze": ["model.layers.0"]}, lambda name: name.startswith("model.layers.1.mlp.")),
        ({"freeze": ["model.embed_tokens"]}, lambda name: not name.startswith("model.embed_tokens")),
        ({"freeze_regex": "norm|embed"}, lambda name: "norm" not in name and "embed" not in name),
        ({"last_blocks": 1, "train": ["model.norm"]}, lambda name: name.startswith(("model.layers.1.", "model.norm."))),
    ],
)
def test_freeze(options, expected, tiny_model, tmp_path):
    tuner = FreezeTuner(FreezeOptions(**options))
    model = tuner.attach(load(tiny_model), FAMILY)
    assert learning(model) == {name for name, _ in model.named_parameters() if expected(name)}
    step(tuner, model)
    before = load(tiny_model).state_dict()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == learning(model)
    tuner.save(model, tmp_path)
    assert torch.equal(logits(load(tmp_path)), logits(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": ["model.layer.0"]}, r"no weight name starts with 'model\.layer\.0' .*\n  Did you mean 'model\.layers\.0'"),
        ({"freeze": ["model.layers.1", "mlp"]}, "no weight name starts with 'mlp'"),
        ({"train": ["lm_head"]}, r"'lm_head' is tied to 'model\.embed_tokens\.weight'"),
        ({"train_regex": "self_attention"}, "matches no weight name"),
        ({"train_regex": "("}, "invalid regular expression"),
        ({"last_blocks": 3}, r"only 2 blocks .*\n  Use at most 2"),
        ({"freeze": ["model"]}, "no trainable weights"),
    ],
)
def test_freeze_says_what_it_did_not_find(options, message, tiny_model):
    with pytest.raises(UsageError, match=message):
        FreezeTuner(FreezeOptions(**options)).attach(load(tiny_model), FAMILY)


def test_layer_1_is_no_prefix_of_layer_10():
    from swift_plugin_transformers.tuners import starts_with

    assert starts_with("model.layers.1.mlp", "model.layers.1")
    assert not starts_with("model.layers.10.mlp", "model.layers.1")


def test_freeze_needs_a_value():
    with pytest.raises(Invalid, check=coded("OPTION-005"), match="set what to train"):
        FreezeOptions.checked({})


def test_adamw_decays_matrices_only_and_keeps_the_groups_factor(tiny_model):
    model = load(tiny_model)
    groups = [{"params": list(model.model.layers[0].parameters())}, {"params": list(model.model.norm.parameters()), "mult": 4.0}]
    optimizer = AdamW(AdamOptions(weight_decay=0.3)).build(groups, 1e-3)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [(group["weight_decay"], group["lr"], group.get("mult")) for group in optimizer.param_groups] == [
        (0.3, 1e-3, None),
        (0.0, 1e-3, None),
        (0.0, 4e-3, 4.0),
    ]
    assert all(parameter.ndim >= 2 for parameter in optimizer.param_groups[0]["params"])
