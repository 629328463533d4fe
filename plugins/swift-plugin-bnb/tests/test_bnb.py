"""bitsandbytes while loading, also on a CPU; combinations that are rejected; and qlora."""

from __future__ import annotations

import json
from dataclasses import replace

import bitsandbytes
import pytest
import torch
from swift_plugin_bnb import swift_check
from swift_plugin_bnb.options import BnbOptions
from swift_testing.kit import tiny
from swift_testing.rig import write_tiny_model
from swift_train import build
from torch.nn.utils import parametrize
from transformers import AutoModelForCausalLM, Qwen3MoeConfig

from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run, Source
from swift_core.options import Invalid
from swift_core.plugins.registered import registry

INPUTS = torch.arange(3, 43).reshape(2, 20)


def run_with(folder, tuner="", quantizer=None, parallel="", **options):
    parts = {}
    if tuner:
        parts["tuner"] = registry().choose("tuner", tuner, {"last_blocks": 1} if tuner == "freeze" else options)
    if quantizer is not None:
        parts["quantizer"] = registry().choose("quantizer", "bnb", quantizer)
    if parallel:  # strategies that are not installed are rejected by name too
        parts["parallel"] = replace(registry().choose("parallel", "ddp"), name=parallel)
    source = Source(reference="file:tiny", path=str(folder), hash="", format="safetensors", family="")
    return Run(verb="sft", job="", model=source, parts=parts, options={"device": "cpu", "dtype": "float32"})


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=INPUTS).logits


@pytest.mark.parametrize(
    ("options", "layer", "most"),
    [
        ({}, "Linear4bit", 1.0),
        ({"kind": "fp4", "double_quantization": False}, "Linear4bit", 1.5),
        ({"bits": 8}, "Linear8bitLt", 0.2),
    ],
)
def test_layers_are_quantized_while_loading(options, layer, most, tiny_model):
    model = build.load_base(run_with(tiny_model, quantizer=options)).model
    attention = model.model.layers[0].self_attn
    assert type(attention.q_proj) is getattr(bitsandbytes.nn, layer)
    assert type(model.lm_head) is torch.nn.Linear
    if layer == "Linear4bit":
        state = attention.q_proj.weight.quant_state
        assert (state.quant_type, state.nested) == (options.get("kind", "nf4"), options.get("double_quantization", True))
        assert attention.q_proj.compute_dtype == torch.float32
    difference = (logits(model) - logits(build.load_base(run_with(tiny_model)).model)).abs()
    assert 0 < difference.mean() < most / 4


def test_more_modules_can_be_skipped(tiny_model):
    model = build.load_base(run_with(tiny_model, quantizer={"skip": ["down_proj"]})).model
    assert type(model.model.layers[0].mlp.down_proj) is torch.nn.Linear
    assert type(model.model.layers[0].mlp.up_proj) is bitsandbytes.nn.Linear4bit


def test_qlora_trains_the_adapter_only(tiny_model):
    run = run_with(tiny_model, tuner="qlora", quantizer={})
    assert registry().get("tuner", "qlora").implies == "bnb"
    tuner = run.parts["tuner"].build()
    model = build.attach(run, build.load_base(run).model, tuner)
    packed = model.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    before = packed.clone()
    optimizer = torch.optim.AdamW(tuner.parameter_groups(model), lr=1e-2)
    losses = tiny.learn(model, optimizer, 4)
    assert losses[-1] < losses[0] - 0.1
    assert torch.equal(packed, before)


SIZES = {
    "vblora": {"vector_length": 16},
    "oft": {"block_size": 16},
    "fourierft": {"frequencies": 50},
    "miss": {"rank": 16},
    "vera": {"rank": 16},
}
ADAPTERS = {spec.name: spec for spec in registry().all("tuner") if spec.trains == "adapter" and spec.name != "peft"}


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_the_tuners_claims_about_quantized_bases_are_true(name, tiny_model):
    def losses():
        run = run_with(tiny_model, tuner=name, quantizer={}, **SIZES.get(name, {}))
        tuner = run.parts["tuner"].build()
        model = build.attach(run, build.load_base(run).model, tuner)
        optimizer = torch.optim.AdamW(tuner.parameter_groups(model), lr=1e-3)
        for _ in range(3):
            loss = model.eval()(input_ids=INPUTS, labels=INPUTS).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield loss.item()

    if ADAPTERS[name].quantized_base:
        first, *_, last = losses()
        assert last < first
    else:
        with pytest.raises((RuntimeError, UsageError)):
            list(losses())


def test_gradients_are_the_same_after_an_evaluation(tiny_model):
    run = run_with(tiny_model, tuner="qlora", quantizer={}, dropout=0.0)
    model = build.attach(run, build.load_base(run).model, run.parts["tuner"].build())

    def gradients():
        model.zero_grad()
        model.train()(input_ids=INPUTS, labels=INPUTS).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.requires_grad]

    before = gradients()
    logits(model)
    torch.testing.assert_close(gradients(), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("parts", "where", "fatal"),
    [
        ({"tuner": "full", "quantizer": {}}, "quantizer", True),
        ({"tuner": "freeze", "quantizer": {}}, "quantizer", True),
        ({"tuner": "hra", "quantizer": {}}, "tuner", True),
        ({"tuner": "lora", "quantizer": {"bits": 8}, "parallel": "fsdp"}, "parallel", True),
        ({"tuner": "lora", "quantizer": {}, "parallel": "mesh"}, "parallel", True),
        ({"tuner": "qlora", "parallel": "tp"}, "parallel", True),
        ({"tuner": "qlora", "parallel": "zero3"}, "parallel", False),
    ],
)
def test_unsupported_combinations(parts, where, fatal, tiny_model):
    (problem,) = swift_check(run_with(tiny_model, **parts))
    assert (problem.where, problem.fatal) == (where, fatal)
    assert problem.hint


@pytest.mark.parametrize(
    "parts",
    [
        {"tuner": "lora", "parallel": "fsdp"},
        {"tuner": "full"},
        {"tuner": "qlora", "parallel": "ddp"},
        {"quantizer": {}},
        {"tuner": "lora", "quantizer": {"experts": True}, "parallel": "fsdp"},
    ],
)
def test_supported_combinations(parts, tiny_model):
    assert list(swift_check(run_with(tiny_model, **parts))) == []


def test_the_check_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys\nfor name in ('torch', 'transformers', 'bitsandbytes', 'peft'): sys.modules[name] = None\n"
        "from swift_core.plugins.registered import registry\nfrom swift_core.contract.run import Run\n"
        "from swift_plugin_bnb import swift_check\n"
        "parts = {kind: registry().choose(kind, name) for kind, name in (('tuner', 'full'), ('quantizer', 'bitsandbytes'))}\n"
        "run = Run(verb='sft', job='', parts=parts)\n"
        "print(*(problem.where for problem in swift_check(run)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "quantizer", done.stderr


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 64,
        "moe_intermediate_size": 64,
        "intermediate_size": 64,
        "head_dim": 16,
        "vocab_size": 64,
        "num_hidden_layers": 2,
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "num_experts": 4, "num_experts_per_tok": 2}
    folder = write_tiny_model(tmp_path_factory.mktemp("mixture") / "model")
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_config(Qwen3MoeConfig(**{**sizes, **heads, "vocab_size": vocabulary})).save_pretrained(folder)
    return folder


def test_experts_are_quantized_if_asked_for(mixture):
    """Their stacks are packed, and the model computes with the values of the packed ones."""
    plain = build.load_base(run_with(mixture)).model
    linear = build.load_base(run_with(mixture, quantizer={})).model
    packed = build.load_base(run_with(mixture, quantizer={"experts": True})).model
    experts = packed.model.layers[0].mlp.experts
    assert experts.parametrizations.gate_up_proj.original.dtype == torch.uint8
    assert linear.model.layers[0].mlp.experts.gate_up_proj.dtype == torch.float32
    for layer, own in zip(linear.model.layers, packed.model.layers, strict=True):
        for name in ("gate_up_proj", "down_proj"):
            data, state = bitsandbytes.functional.quantize_4bit(
                getattr(layer.mlp.experts, name).data, compress_statistics=True, quant_type="nf4"
            )
            expected = bitsandbytes.functional.dequantize_4bit(data, state)
            assert torch.equal(getattr(own.mlp.experts, name), expected)
            getattr(layer.mlp.experts, name).data = expected
    assert torch.equal(logits(packed), logits(linear))
    assert not torch.equal(logits(packed), logits(plain))


def test_an_adapter_learns_on_quantized_experts(mixture):
    run = run_with(mixture, tuner="qlora", quantizer={"experts": True}, targets=["q_proj"])
    tuner = run.parts["tuner"].build()
    model = build.attach(run, build.load_base(run).model, tuner)
    model.get_base_model().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    losses = tiny.learn(model, torch.optim.AdamW(tuner.parameter_groups(model), lr=1e-2), 4)
    assert losses[-1] < losses[0] - 0.1
    assert not parametrize._cache


def test_experts_are_not_quantized_to_8_bits():
    with pytest.raises(Invalid, match="to 4 bits, not to 8"):
        BnbOptions.checked({"bits": 8, "experts": True})
