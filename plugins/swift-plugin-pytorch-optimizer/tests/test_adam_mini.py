"""Adam-mini: the library's own update, with the heads of the model's configuration."""

from __future__ import annotations

import pytorch_optimizer as library
import torch
from swift_plugin_pytorch_optimizer.adam_mini import AdamMini
from swift_train.optimizer_options import AdamOptions
from transformers import AutoModelForCausalLM


def test_the_step_is_that_of_the_library(tiny_model):
    ours, theirs = (AutoModelForCausalLM.from_pretrained(tiny_model) for _ in range(2))
    options = AdamOptions(weight_decay=0.0)
    optimizer = AdamMini(options).build_for(ours, [{"params": list(ours.parameters())}], 1e-2)
    plain = library.AdamMini(
        theirs, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0, num_embeds=64, num_heads=4, num_query_groups=2, foreach=False
    )
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step()
        plain.step()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other), name
    states = {name: optimizer.state[weight] for name, weight in ours.named_parameters()}
    assert states["model.layers.0.self_attn.q_proj.weight"]["v_mean"].shape == (4,), "a number for each head"
    assert states["model.layers.0.mlp.up_proj.weight"]["v_mean"].numel() == 1
