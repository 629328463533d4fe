"""The decoder blocks of a transformers model, and the parts of a block."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from swift_core.contract import UsageError

ADDED = "added"  # the names of what is added to a block begin with it


def blocks_of(model: Any) -> tuple[str, nn.ModuleList]:
    """Return the path and the list of a model's decoder blocks: as many as its configuration says, of a class that is never split.

    Raises:
        UsageError: there is no such list, or several.
    """
    count, whole = model.config.get_text_config().num_hidden_layers, set(model._no_split_modules or ())
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    inside = {id(module) for module in decoder.modules()}
    found = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and id(module) in inside and len(module) == count and type(module[0]).__name__ in whole
    ]
    if len(found) != 1:
        message = f"the decoder blocks of {type(model).__name__} can't be told from its other layers"
        raise UsageError(message, code="PLUGIN-042", where="tuner", hint="Use --tuner lora.")
    return found[0]


def parts_with_linear_layers(block: nn.Module) -> list[str]:
    """Return the names of a block's own children that have linear layers, quantized ones included, in their order."""
    children = [(name, child) for name, child in block.named_children() if not name.startswith(ADDED)]
    return [name for name, child in children if any(isinstance(part, nn.Linear) for part in child.modules())]


@torch.no_grad()
def probe(model: nn.Module) -> torch.Tensor:
    """Return the logits of a short row, (1, tokens, vocabulary); of a model on the `meta` device too."""
    weight = next(parameter for parameter in model.parameters())
    training = model.training
    logits: torch.Tensor = model.eval()(input_ids=torch.arange(1, 9, device=weight.device)[None], use_cache=False).logits
    model.train(training)
    return logits
