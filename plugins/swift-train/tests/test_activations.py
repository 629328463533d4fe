"""Activations that are recomputed, and that wait in main memory."""

from __future__ import annotations

import pytest
import torch
from swift_train import activations
from swift_train.activations import main_memory, recompute_activations
from swift_train.options import SftOptions
from torch.autograd.graph import save_on_cpu
from transformers import AutoModelForCausalLM

from swift_core.options import Invalid

INPUTS = torch.arange(3, 43).reshape(2, 20)


def gradients(folder, prepare):
    model = AutoModelForCausalLM.from_pretrained(folder)
    prepare(model)
    model.train()
    model(input_ids=INPUTS, labels=INPUTS).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_offloaded_activations_give_the_same_gradients(tiny_model, monkeypatch):
    """Each block saves its input alone through the hooks that copy to main memory, and nothing of what it computes."""
    moved = []

    class Counting(save_on_cpu):
        def __init__(self, **given):
            super().__init__(**given)
            pack = self.pack_hook
            self.pack_hook = lambda tensor: moved.append(tuple(tensor.shape)) or pack(tensor)

    monkeypatch.setattr(activations, "save_on_cpu", Counting)
    plain = gradients(tiny_model, lambda model: None)
    offloaded = gradients(tiny_model, lambda model: recompute_activations(model, main_memory))
    assert all(torch.equal(offloaded[name], gradient) for name, gradient in plain.items())
    config = AutoModelForCausalLM.from_pretrained(tiny_model).config
    inputs = [shape for shape in moved if shape == (*INPUTS.shape, config.hidden_size)]
    assert len(inputs) == config.num_hidden_layers
    assert not [shape for shape in moved if config.intermediate_size in shape]


def test_offloading_without_recomputation_is_refused():
    with pytest.raises(Invalid, match="needs gradient_checkpointing"):
        SftOptions.checked({"activation_offload": True})
