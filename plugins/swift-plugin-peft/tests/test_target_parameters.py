"""LoRA on parameters that are no modules: the stacked weights of the experts of a mixture."""

from __future__ import annotations

import json

import pytest
import torch
from swift_plugin_peft.options import LoraOptions
from swift_plugin_peft.tuner import PeftTuner
from swift_testing.architectures import small_model, write_small_model
from swift_testing.codes import coded
from swift_train import build

from swift_core.checkpoints.family import family_of
from swift_core.contract.errors import UsageError
from swift_core.options.model import Invalid

NAMES = ["experts.gate_up_proj", "experts.down_proj"]
ROW = torch.arange(4, 28)[None]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture") / "base"
    write_small_model(folder, "qwen3_moe")
    return folder


def load(folder):
    return build.load_checkpoint(folder, device="cpu").model


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=ROW, use_cache=False).logits.float()


def family(folder):
    return family_of(build.source_of(folder))


def test_experts_learn_and_are_saved_restored_and_merged(mixture, tmp_path):
    tuner = PeftTuner(LoraOptions(parameters=NAMES, targets=["q_proj"], alpha=16))
    base = logits(load(mixture))
    model = tuner.attach(load(mixture), family(mixture))
    assert torch.equal(logits(model), base)
    learning = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    experts = [name for name in learning if ".experts." in name and "lora_B" in name]
    assert len(experts) == 2 * len([name for name in learning if "q_proj" in name and "lora_B" in name])
    for name, weight in learning.items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.train()(input_ids=ROW, use_cache=False).logits.float().logsumexp(-1).mean().backward()
    assert all(float(learning[name].grad.abs().max()) > 0 for name in experts)
    adapted = logits(model)
    assert float((adapted - base).abs().max()) > 1e-3
    tuner.save(model, tmp_path / "adapter")
    assert sorted(json.loads((tmp_path / "adapter/adapter_config.json").read_text())["target_parameters"]) == sorted(NAMES)
    restored = tuner.restore(load(mixture), tmp_path / "adapter")
    torch.testing.assert_close(logits(restored), adapted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(tuner.merge(restored)), adapted, atol=1e-4, rtol=1e-4)


def test_the_update_is_that_of_each_expert(mixture):
    """B A · alpha / rank, added to the weights of an expert, from PEFT's stacked factors."""
    tuner = PeftTuner(LoraOptions(parameters=NAMES[1:], targets=[], rank=4, alpha=8))
    model = tuner.attach(load(mixture), family(mixture))
    (down, up) = (next(weight for name, weight in model.named_parameters() if f"lora_{part}" in name) for part in "AB")
    torch.nn.init.normal_(up, std=0.2)
    before = load(mixture).model.layers[0].mlp.experts.down_proj
    merged = tuner.merge(model).model.layers[0].mlp.experts.down_proj
    count = len(before)
    for expert in range(count):
        own_down = down.view(count, 4, -1)[expert]
        own_up = up.view(up.shape[0], 4, count)[:, :, expert]
        torch.testing.assert_close(merged[expert], before[expert] + 2.0 * own_up @ own_down, atol=1e-5, rtol=1e-4)


def test_names_that_match_nothing_are_answered_with_those_that_would(mixture, tiny_model):
    with pytest.raises(UsageError, check=coded("TUNER-030")) as error:
        PeftTuner(LoraOptions(parameters=["experts.down_projs"])).attach(load(mixture), family(mixture))
    assert "experts.down_proj" in error.value.hint
    with pytest.raises(UsageError, check=coded("TUNER-031")):
        PeftTuner(LoraOptions(parameters=["norm.weight"])).attach(load(mixture), family(mixture))
    assert small_model("llama")  # without stacked weights
    with pytest.raises(UsageError, check=coded("TUNER-030")) as error:
        PeftTuner(LoraOptions(parameters=["zzz"])).attach(load(tiny_model), family(tiny_model))
    assert "tuner.targets" in error.value.hint


def test_what_only_layers_have_is_refused():
    assert LoraOptions(parameters=NAMES).dropout == 0.0
    for more in ({"dropout": 0.1}, {"dora": True}, {"init": "pissa"}):
        with pytest.raises(Invalid):
            LoraOptions.checked({"parameters": NAMES, **more})


def test_all_linear_layers_and_named_ones(tiny_model, tmp_path):
    from swift_testing.rig import write_tiny_model

    untied = write_tiny_model(tmp_path / "untied", tie_word_embeddings=False)
    model = PeftTuner(LoraOptions(targets=["all-linear", "embed_tokens", "lm_head"])).attach(load(untied), family(untied))
    found = {name.split(".lora_")[0].rpartition(".")[2] for name, weight in model.named_parameters() if ".lora_" in name}
    assert found == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head"}
