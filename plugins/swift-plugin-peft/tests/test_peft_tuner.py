"""Every adapter: the base stays frozen, and save → restore → merge gives the same logits."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_plugin_peft import swift_tuners
from swift_plugin_peft.options import AnyPeftOptions, LoraOptions, LoraPlusOptions, PissaOptions
from swift_plugin_peft.tuner import PeftTuner
from swift_testing.codes import coded
from swift_testing.kit import tiny
from transformers import AutoModelForCausalLM

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.specs import ModelFamily
from swift_core.options.model import Invalid

FAMILY = ModelFamily(
    name="llama", summary="Llama", architectures=("LlamaForCausalLM",), targets=("q_proj", "v_proj", "down_proj", "qkv_proj")
)
SPECS = {spec.name: spec for spec in swift_tuners() if spec.name != "peft"}
SMALL = {  # what a hidden size of 64 needs
    "vblora": {"vector_length": 16},
    "oft": {"block_size": 16},
    "fourierft": {"frequencies": 50},
    "miss": {"rank": 16},
    "vera": {"rank": 16},
    "randlora": {"rank": 4},
}
INPUTS = torch.arange(3, 43).reshape(2, 20)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=INPUTS).logits


@torch.no_grad()
def pretend_to_learn(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)


def tuner_for(name):
    return PeftTuner(SPECS[name].options.load().checked(SMALL.get(name, {})))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_save_restore_merge_gives_the_same_logits(name, tiny_model, tmp_path):
    tuner = tuner_for(name)
    before = logits(load(tiny_model))
    model = tuner.attach(load(tiny_model), FAMILY)
    assert logits(model) == pytest.approx(before, abs=2e-2 if name == "vblora" else 1e-4)  # vblora starts near zero, the others at it
    pretend_to_learn(model)
    learned = logits(model)
    assert (learned - before).abs().max() > 1e-2

    tuner.save(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]

    restored = tuner.restore(load(tiny_model), tmp_path)
    assert not any(parameter.requires_grad for parameter in restored.parameters())
    torch.testing.assert_close(logits(restored), learned, atol=1e-4, rtol=0)

    merged = tuner.merge(restored)
    assert type(merged).__name__ == "LlamaForCausalLM"
    torch.testing.assert_close(logits(merged), learned, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"pissa"}))
def test_the_base_is_frozen_and_untouched(name, tiny_model):
    base = {key: value.clone() for key, value in load(tiny_model).state_dict().items()}
    model = tuner_for(name).attach(load(tiny_model), FAMILY)
    learning = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
    assert learning
    assert not any(key.removeprefix("base_model.model.").replace(".base_layer", "") in base for key in learning)
    model.train()(input_ids=INPUTS, labels=INPUTS).loss.backward()
    torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1.0).step()
    state = {key.replace(".base_layer", ""): value for key, value in model.get_base_model().state_dict().items()}
    assert all(torch.equal(state[key], value) for key, value in base.items())


def test_any_other_method_of_peft_by_name(tiny_model, tmp_path):
    tuner = PeftTuner(AnyPeftOptions(method="gralora", config={"r": 8, "alpha": 16}))
    model = tuner.attach(load(tiny_model), FAMILY)
    pretend_to_learn(model)
    tuner.save(model, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "GRALORA"
    torch.testing.assert_close(logits(tuner.restore(load(tiny_model), tmp_path)), logits(model))


def test_unknown_methods_and_fields_are_named(tiny_model):
    with pytest.raises(UsageError, check=coded("TUNER-018"), match="no method 'graloraa'") as error:
        PeftTuner(AnyPeftOptions(method="graloraa")).attach(load(tiny_model), FAMILY)
    assert "gralora" in error.value.hint
    with pytest.raises(UsageError, check=coded("TUNER-016"), match="'rank_patern'") as error:
        PeftTuner(LoraOptions(config={"rank_patern": {}})).attach(load(tiny_model), FAMILY)
    assert error.value.where == "tuner.config.rank_patern"
    assert "rank_pattern" in error.value.hint


@pytest.mark.parametrize(
    ("targets", "adapted"),
    [
        ("auto", {"q_proj", "v_proj", "down_proj"}),
        ("all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        (["o_proj"], {"o_proj"}),
        ("o_proj, k_proj", {"o_proj", "k_proj"}),
        (r".*layers\.0\..*_proj", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_targets(targets, adapted, tiny_model):
    model = PeftTuner(LoraOptions(targets=targets)).attach(load(tiny_model), FAMILY)
    found = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if ".lora_A" in name}
    assert found == adapted


def test_targets_that_are_not_there_list_those_that_are(tiny_model):
    with pytest.raises(UsageError, check=coded("TUNER-005"), match=r"'q_porj' .*\. Did you mean 'q_proj'") as error:
        PeftTuner(LoraOptions(targets=["v_proj", "q_porj"])).attach(load(tiny_model), FAMILY)
    assert error.value.where == "tuner.targets"
    assert "down_proj, gate_proj, k_proj" in error.value.hint
    with pytest.raises(UsageError, check=coded("TUNER-005"), match="matches no layer"):
        PeftTuner(LoraOptions(targets=r"transformer\..*")).attach(load(tiny_model), FAMILY)
    with pytest.raises(UsageError, check=coded("TUNER-006")) as error:
        PeftTuner(LoraOptions(targets="(q_proj")).attach(load(tiny_model), FAMILY)
    assert error.value.where == "tuner.targets"
    with pytest.raises(UsageError, check=coded("TUNER-004"), match="'embed_token'") as error:
        PeftTuner(LoraOptions(modules_to_save=["embed_token"])).attach(load(tiny_model), FAMILY)
    assert error.value.where == "tuner.modules_to_save"
    assert "'embed_tokens'" in error.value.hint


def test_a_multimodal_family_keeps_to_its_language_model(tiny_model):
    family = ModelFamily(name="x", summary="x", architectures=(), targets=("q_proj",), language_model="model.layers.1")
    model = PeftTuner(LoraOptions()).attach(load(tiny_model), family)
    assert {name.split(".self_attn")[0] for name, _ in model.named_parameters() if ".lora_A" in name} == {"base_model.model.model.layers.1"}


def test_values_that_the_layers_do_not_allow(tiny_model):
    with pytest.raises(UsageError, check=coded("TUNER-009"), match="PEFT") as error:
        PeftTuner(SPECS["boft"].options.load()(block_size=7)).attach(load(tiny_model), FAMILY)
    assert error.value.where == "tuner"
    with pytest.raises(Invalid, check=coded("OPTION-005"), match="use one of them"):
        LoraOptions.checked({"dora": True, "init": "pissa"})


def test_pissa_is_saved_as_a_lora_that_leaves_the_base_alone(tiny_model, tmp_path):
    tuner = PeftTuner(PissaOptions(rank=4, dropout=0))
    model = tuner.attach(load(tiny_model), FAMILY)
    pretend_to_learn(model)
    tuner.save(model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["init_lora_weights"]) == (8, True)
    assert config["lora_alpha"] / config["r"] == 32 / 4
    restored = tuner.restore(load(tiny_model), tmp_path)
    with restored.disable_adapter():
        torch.testing.assert_close(logits(restored), logits(load(tiny_model)))


def test_loraplus_gives_b_the_higher_rate(tiny_model):
    tuner = PeftTuner(LoraPlusOptions(lr_ratio=8))
    model = tuner.attach(load(tiny_model), FAMILY)
    slow, fast = tuner.parameter_groups(model)
    assert (slow.get("mult", 1), fast["mult"]) == (1, 8)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all("lora_A" in names[id(parameter)] for parameter in slow["params"])
    assert all("lora_B" in names[id(parameter)] for parameter in fast["params"])
    assert len(slow["params"]) == len(fast["params"]) > 0


def test_gathered_weights_are_saved_instead_of_the_modules_own(tiny_model, tmp_path):
    tuner = tuner_for("lora")
    model = tuner.attach(load(tiny_model), FAMILY)
    gathered = {name: torch.full_like(parameter, 0.01) for name, parameter in model.named_parameters() if parameter.requires_grad}
    tuner.save(model, tmp_path, gathered)
    restored = tuner.restore(load(tiny_model), tmp_path)
    assert all((parameter == 0.01).all() for name, parameter in restored.named_parameters() if "lora_" in name)


def test_whole_modules_are_saved_with_the_adapter(tiny_model, tmp_path):
    tuner = PeftTuner(LoraOptions(modules_to_save=["norm"]))
    model = tuner.attach(load(tiny_model), FAMILY)
    pretend_to_learn(model)
    tuner.save(model, tmp_path)
    torch.testing.assert_close(logits(tuner.merge(tuner.restore(load(tiny_model), tmp_path))), logits(model), atol=1e-4, rtol=0)


def test_several_adapters_on_one_base(tiny_model, tmp_path):
    tuner, learned = tuner_for("lora"), {}
    for seed, name in enumerate(("one", "two")):
        model = tuner.attach(load(tiny_model), FAMILY)
        pretend_to_learn(model, seed)
        learned[name] = logits(model)
        tuner.save(model, tmp_path / name)
    model = load(tiny_model)
    for name in learned:
        model = tuner.restore(model, tmp_path / name, name=name)
    for name, expected in learned.items():
        model.set_adapter(name)
        torch.testing.assert_close(logits(model), expected)


def test_training_goes_on_from_a_saved_adapter(tiny_model, tmp_path):
    tuner = tuner_for("lora")
    model = tuner.attach(load(tiny_model), FAMILY)
    pretend_to_learn(model)
    tuner.save(model, tmp_path / "first")
    again = tuner.restore(load(tiny_model), tmp_path / "first", trainable=True)
    assert all(parameter.requires_grad == ("lora_" in name) for name, parameter in again.named_parameters())
    pretend_to_learn(again, seed=5)
    tuner.save(again, tmp_path / "second")
    torch.testing.assert_close(logits(tuner.restore(load(tiny_model), tmp_path / "second")), logits(again))


def test_an_adapter_of_another_base_is_refused(tiny_model, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    tuner = tuner_for("lora")
    tuner.save(tuner.attach(load(tiny_model), FAMILY), tmp_path)
    for sizes in ({"hidden_size": 32, "num_hidden_layers": 2}, {"hidden_size": 64, "num_hidden_layers": 1}):
        other = LlamaForCausalLM(LlamaConfig(vocab_size=50, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, **sizes))
        names = [name for name, _ in other.named_modules()]
        with pytest.raises(UsageError, match="does not match the base model") as error:
            tuner.restore(other, tmp_path)
        assert error.value.where == str(tmp_path)
        assert [name for name, _ in other.named_modules()] == names
        assert not hasattr(other, "peft_config")


def test_a_second_adapter_that_does_not_fit_leaves_the_first(tiny_model, tmp_path):
    tuner = tuner_for("lora")
    for name, targets in (("one", ["q_proj"]), ("two", ["v_proj"])):
        model = PeftTuner(LoraOptions(targets=targets)).attach(load(tiny_model), FAMILY)
        pretend_to_learn(model)
        tuner.save(model, tmp_path / name)
    served = tuner.restore(load(tiny_model), tmp_path / "one", name="one")
    before = logits(served)
    file = tmp_path / "two" / "adapter_model.safetensors"
    save_file({name.replace("v_proj", "w_proj"): tensor for name, tensor in load_file(file).items()}, file)
    with pytest.raises(UsageError, check=coded("TUNER-013"), match=r"does not match the base model: .*[vw]_proj"):
        tuner.restore(served, tmp_path / "two", name="two")
    assert list(served.peft_config) == ["one"]
    torch.testing.assert_close(logits(served), before)


def test_merging_into_a_quantized_base_is_refused(tiny_model):
    tuner = tuner_for("lora")
    model = tuner.attach(load(tiny_model), FAMILY)
    model.get_base_model().is_quantized = True
    with pytest.raises(SwiftError, check=coded("TUNER-014")):
        tuner.merge(model)


def test_other_tools_spellings_are_known():
    fields = {name for field in LoraOptions.model_fields.values() for name in (field.json_schema_extra or {}).get("also", ())}
    assert {
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "init_weights",
        "use_dora",
        "use_rslora",
        "lorap_lr_ratio",
    } <= fields


def test_every_option_is_described():
    for spec in swift_tuners():
        assert spec.options
        options = spec.options.load()
        assert all(field.description.endswith(".") for field in options.model_fields.values())
        assert "import torch" not in Path(inspect.getfile(options)).read_text()


def test_adalora_prunes_to_its_budget_and_keeps_what_is_left(tiny_model, tmp_path):
    from swift_plugin_peft.adalora import AdaLoraTuner

    options = SPECS["adalora"].options.load().checked({"rank": 2, "first_rank": 6, "dropout": 0.0})
    tuner = AdaLoraTuner(options)
    torch.manual_seed(0)
    model = tuner.attach(load(tiny_model), FAMILY)
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-2)
    tuner.prepare(model, optimizer, 20)
    losses = tiny.learn(model, optimizer, 20)
    assert losses[-1] < losses[0]
    values = [parameter for name, parameter in model.named_parameters() if "lora_E" in name]
    kept = sum(int((parameter != 0).sum()) for parameter in values)
    assert 0 < kept <= 2 * len(values)
    tuner.save(model, tmp_path)
    learned = logits(model.eval())
    restored = tuner.restore(load(tiny_model), tmp_path)
    assert logits(restored) == pytest.approx(learned, abs=1e-4)
    assert logits(tuner.merge(restored)) == pytest.approx(learned, abs=1e-3)


def test_adalora_needs_steps_to_prune_in(tiny_model):
    tuner = tuner_for("adalora")
    model = tuner.attach(load(tiny_model), FAMILY)
    tuner.options = tuner.options.model_copy(update={"warmup": 0.6, "settle": 0.6})
    from swift_plugin_peft.adalora import AdaLoraTuner

    with pytest.raises(UsageError, check=coded("TUNER-001"), match="10 steps") as error:
        AdaLoraTuner(tuner.options).prepare(model, torch.optim.SGD(model.parameters()), 10)
    assert error.value.where == "tuner.warmup"


def test_dora_on_rows_of_zeros_is_refused(tiny_model):
    """The row of the padding token is all zeros: the first loss would be NaN."""
    for targets, refused in ((["lm_head"], True), (["q_proj"], False)):
        tuner = SPECS["dora"].factory.load()(SPECS["dora"].options.load()(targets=targets))
        model = load(tiny_model)
        model.model.embed_tokens.weight.data[7] = 0
        if refused:
            with pytest.raises(UsageError, check=coded("TUNER-017"), match="lm_head") as caught:
                tuner.attach(model, FAMILY)
            assert caught.value.where == "tuner.targets"
        else:
            tuner.attach(model, FAMILY)


def test_what_peft_refuses_is_one_line(tiny_model):
    tuner = SPECS["lora"].factory.load()(SPECS["lora"].options.load()(targets=["layers.0"]))
    with pytest.raises(UsageError, check=coded("TUNER-009"), match="LlamaDecoderLayer is not supported") as caught:
        tuner.attach(load(tiny_model), FAMILY)
    assert "\n" not in caught.value.message
