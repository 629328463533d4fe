"""BAdam and LISA: which layers are updated, by AdamW's own step, and an exact resume."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from swift_plugin_optimizers.blockwise import Blockwise
from swift_plugin_optimizers.options import BlockwiseOptions, LisaOptions
from swift_testing.codes import coded
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM

from swift_core.contract.errors import UsageError
from swift_core.plugins import registry


def made(folder, options, model=None):
    model = model or AutoModelForCausalLM.from_pretrained(folder)
    return model, Blockwise(options).build_for(model, [{"params": list(model.parameters())}], 1e-2)


def step(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer.step()
    return {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}


def test_one_layer_after_another(tiny_model):
    model, optimizer = made(tiny_model, BlockwiseOptions(interval=2))
    changed = [step(model, optimizer, seed) for seed in range(4)]
    layers = [{name for name, _ in model.named_parameters() if f".layers.{number}." in name} for number in (0, 1)]
    assert changed == [layers[0], layers[0], layers[1], layers[1]]
    assert len(optimizer.state) == len(layers[1]), "the state is that of the layer alone"


def test_the_step_is_that_of_adamw(tiny_model):
    model, optimizer = made(tiny_model, BlockwiseOptions(interval=5, weight_decay=0.1))
    other = AutoModelForCausalLM.from_pretrained(tiny_model)
    layer = other.model.layers[0]
    matrices = [weight for weight in layer.parameters() if weight.dim() > 1]
    rest = [weight for weight in layer.parameters() if weight.dim() < 2]
    plain = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-2, betas=(0.9, 0.95)
    )
    for seed in range(3):
        step(model, optimizer, seed)
        generator = torch.Generator().manual_seed(seed)
        for weight in other.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        plain.step()
    for weight, expected in zip(model.model.layers[0].parameters(), layer.parameters(), strict=True):
        assert torch.equal(weight, expected)


def test_lisa_draws_layers_and_always_updates_the_rest(tiny_model):
    model, optimizer = made(tiny_model, LisaOptions(layers=1, interval=1))
    outside = {name for name, _ in model.named_parameters() if ".layers." not in name}
    seen = set()
    for seed in range(6):
        changed = step(model, optimizer, seed)
        assert outside <= changed
        layers = {name.split(".layers.")[1][0] for name in changed - outside}
        assert len(layers) == 1
        seen |= layers
    assert seen == {"0", "1"}


def test_more_layers_than_there_are(tiny_model):
    with pytest.raises(UsageError, check=coded("PLUGIN-033")):
        made(tiny_model, LisaOptions(layers=3))


@pytest.mark.parametrize(("name", "options"), [("lisa", {"layers": 1, "interval": 1}), ("adam-mini", {})])
def test_a_resumed_run_is_the_same(tiny_model, tmp_path, name, options):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(8))

    def run(**more):
        made = training_run(tiny_model, rows, tuner="full", batch_size=2, epochs=1, learning_rate=1e-2, **more)
        return replace(made, parts={**made.parts, "optimizer": registry().choose("optimizer", name, options)})

    run_training(run(), tmp_path / "whole")
    run_training(run(), tmp_path / "parts", stop_after=2)
    run_training(run(verb_options={"resume": str(tmp_path / "parts")}), tmp_path / "parts")
    files = [(tmp_path / each / "output/model.safetensors").read_bytes() for each in ("parts", "whole")]
    assert files[0] == files[1]
