"""A value head: the expected return after each token, a linear layer on the hidden states that the output layer reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from swift_train.adapters import inner_model
from torch import Tensor
from transformers.utils.generic import ModelOutput

if TYPE_CHECKING:
    from torch.nn import Module

NAME = "value_head"  # of the module in the transformers model


@dataclass
class Valued(ModelOutput):
    """The output of a model with a value head: logits and value of each of the kept positions."""

    logits: Tensor | None = None
    value: Tensor | None = None


def add_value_head(module: Module) -> Module:
    """Add a value head to a language model, possibly wrapped by a tuner, and return it; its values are 0 before training.

    The output of a forward pass is `Valued`: the values are computed inside of the model's
    forward pass, so that strategies that gather weights there, or look for gradients in its output, find it.
    """
    inner: Any = inner_model(module)
    output = inner.get_output_embeddings()
    head = torch.nn.Linear(inner.config.get_text_config().hidden_size, 1, device=output.weight.device, dtype=inner.dtype)
    if not head.weight.is_meta:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    inner.add_module(NAME, head)
    states: list[Tensor] = []
    output.register_forward_pre_hook(lambda _, arguments: states.append(arguments[0]))
    original = inner.forward

    @wraps(original)
    def forward(*arguments: Any, **named: Any) -> Any:
        states.clear()
        logits = original(*arguments, **named).logits
        return Valued(logits, head(states.pop()).squeeze(-1))

    inner.forward = forward
    return head
