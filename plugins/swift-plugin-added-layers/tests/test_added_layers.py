"""The tuners start at the model as it was, train what they add alone, and give the same on shards as in one process."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from swift_plugin_added_layers.block_expansion import BlockExpansion
from swift_plugin_added_layers.bottleneck import BottleneckTuner
from swift_plugin_added_layers.options import BlockExpansionOptions, BottleneckOptions, ReftOptions
from swift_plugin_added_layers.reft import Intervention, ReftTuner
from swift_testing.architectures import small_model
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM

from swift_core.contract import ModelFamily
from swift_core.contract.errors import UsageError

FAMILY = ModelFamily(name="any", summary="any", architectures=(), model_types=())
IDS = torch.arange(1, 12)[None]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "qwen3", "phi3", "gpt_neox", "olmo2"])
def test_new_blocks_change_nothing_until_they_are_trained(kind):
    """Norms after a part, layers of several kinds, fused and parallel parts; the configuration describes the larger model."""
    model = small_model(kind)
    before, blocks = logits(model), model.config.num_hidden_layers
    tuner = BlockExpansion(BlockExpansionOptions(new_blocks=blocks))
    tuner.attach(model, FAMILY)
    torch.testing.assert_close(logits(model), before)
    assert model.config.num_hidden_layers == 2 * blocks
    learning = {name.split(".")[2] for name, weight in model.named_parameters() if weight.requires_grad}
    assert learning == {str(number) for number in range(1, 2 * blocks, 2)}
    with torch.enable_grad():
        model.train()(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
    grown = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is not None and weight.grad.any()]
    assert {name.split(".")[2] for name in grown} == learning, "gradients reach every new block"


def test_groups_share_new_blocks():
    model = small_model("llama", num_hidden_layers=4)
    first = model.model.layers[1]
    BlockExpansion(BlockExpansionOptions(new_blocks=4, groups=2)).attach(model, FAMILY)
    assert [block is first for block in model.model.layers].index(True) == 1
    assert [block.self_attn.layer_idx for block in model.model.layers] == list(range(8))
    assert [any(weight.requires_grad for weight in block.parameters()) for block in model.model.layers] == [False, False, True, True] * 2


@pytest.mark.parametrize(("kind", "options"), [("llama", {"new_blocks": 3}), ("qwen3_moe", {"new_blocks": 2})])
def test_expansions_that_are_refused(kind, options):
    """Groups that do not divide the blocks, and experts, whose output is no linear layer."""
    with pytest.raises(UsageError):
        BlockExpansion(BlockExpansionOptions(**options)).attach(small_model(kind, num_hidden_layers=2), FAMILY)


@pytest.mark.parametrize("variant", ["loreft", "noreft", "direft", "nodireft", "lobireft", "consreft"])
def test_interventions_are_their_equations(variant):
    """With random values, against the equations of the paper written out; all but consreft begin as the identity."""
    layer = Intervention(16, ReftOptions.checked({"variant": f"{variant.capitalize()}Intervention", "rank": 3})).eval()
    states = torch.randn(2, 5, 16)
    assert torch.allclose(layer(states), torch.zeros(()), atol=1e-6) == (variant != "consreft")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    basis = layer.basis
    if not variant.startswith("no"):  # an orthonormal basis is unique up to the signs of its columns
        basis = torch.linalg.qr(layer.basis)[0]
        basis = basis * (basis.T @ layer.basis).diagonal().sign()
        torch.testing.assert_close(basis.T @ basis, torch.eye(3), atol=1e-5, rtol=0)
    target = layer.constant if layer.source is None else states @ layer.source.weight.T + layer.source.bias
    if variant in ("loreft", "noreft", "consreft"):
        target = target - states @ basis
    target = target.expand(2, 5, 3)
    torch.testing.assert_close(layer(states), target @ basis.T, atol=1e-4, rtol=1e-4)


def test_adapters_stand_after_the_named_parts():
    model = small_model("llama")
    before = logits(model)
    BottleneckTuner(BottleneckOptions(after=["self_attn", "mlp"], size=4)).attach(model, FAMILY)
    torch.testing.assert_close(logits(model), before)
    names = {name.split(".")[3] for name, weight in model.named_parameters() if weight.requires_grad}
    assert names == {"added_self_attn", "added_mlp"}
    with pytest.raises(UsageError, match="self_attn"):
        BottleneckTuner(BottleneckOptions(after=["attention"])).attach(small_model("llama"), FAMILY)
    with pytest.raises(UsageError, match="0 to 1"):
        ReftTuner(ReftOptions(layers=[7])).attach(small_model("llama", num_hidden_layers=2), FAMILY)


@pytest.mark.slow
@pytest.mark.parametrize(("tuner", "options"), [("llamapro", {"new_blocks": 2}), ("bottleneck", {"size": 8}), ("reft", {"rank": 2})])
def test_shards_train_as_one_process(tiny_model, tmp_path, tuner, options):
    """FSDP2 on two processes, with recomputed activations; what is written is that of one process."""
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(6))
    more = {
        "tuner": tuner,
        "tuner_options": options,
        "max_steps": 3,
        "learning_rate": 3e-3,
        "gradient_checkpointing": True,
        "batch_size": 1,
    }
    one = run_training(training_run(tiny_model, rows, gradient_accumulation_steps=2, **more), tmp_path / "one")
    many = on_ranks(2, partial(run_training, training_run(tiny_model, rows, parallel="fsdp", **more), tmp_path / "many"))
    steps = [[(line["loss"], line["grad_norm"]) for line in each if "loss" in line] for each in (one, many[0])]
    assert len(steps[0]) == 3
    torch.testing.assert_close(torch.tensor(steps[1]), torch.tensor(steps[0]), atol=1e-5, rtol=1e-5)
    if tuner == "llamapro":
        config = json.loads((tmp_path / "many/output/config.json").read_text())
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "many/output")
        assert len(loaded.model.layers) == config["num_hidden_layers"] == 4
