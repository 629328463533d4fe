"""Activation checkpointing: blocks are computed again in the backward pass from their inputs, which may wait in main memory.

Chen et al. 2016, https://arxiv.org/abs/1604.06174; the copies to main memory are `torch.autograd.graph.save_on_cpu`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.graph import save_on_cpu

from swift_train.adapters import inner_model

if TYPE_CHECKING:
    from torch.nn import Module

_FUNCTION = "_gradient_checkpointing_func"  # of transformers' layers: (forward, *inputs) → outputs


def main_memory() -> AbstractContextManager[None]:
    """Enter a context in which tensors that are saved for the backward pass are kept in main memory."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return save_on_cpu(pin_memory=True, device_type=accelerator.type) if accelerator else save_on_cpu()


def recompute_activations(module: Module, kept: Callable[[], AbstractContextManager[None]] | None = None) -> None:
    """Let the blocks of a model, with or without adapters, keep their inputs alone for the backward pass.

    Args:
        kept: enters a context that decides where these inputs are kept, such as `main_memory`; None keeps them where they are.
    """
    inner_model(module).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if kept is None:
        return
    for part in module.modules():
        if function := getattr(part, _FUNCTION, None):
            setattr(part, _FUNCTION, _within(kept, function))


def _within(kept: Callable[[], AbstractContextManager[None]], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        # the tensors inside of the block are never saved: the hooks of the checkpoint are the inner ones
        with kept():
            return function(*arguments, **named)

    return call
