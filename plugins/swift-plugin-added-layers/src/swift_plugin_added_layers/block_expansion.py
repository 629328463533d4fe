"""Block expansion (LLaMA Pro): copies of blocks, which at first change nothing, are trained between the frozen ones.

A copy follows the last block of its group. The output layers of its attention and its feed-forward part start at zero, so that it passes
its input on. What is saved is a plain model with more blocks.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_train.tuner_bases import WholeModelTuner
from torch import nn

from swift_core.contract import UsageError
from swift_plugin_added_layers.blocks import blocks_of, parts_with_linear_layers, probe

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily
    from swift_plugin_added_layers.options import BlockExpansionOptions

_TOLERANCE = 1e-3  # of the logits, relative to their largest


class BlockExpansion(WholeModelTuner):
    """Adds blocks and trains these only; the checkpoint is a full model."""

    def __init__(self, options: BlockExpansionOptions) -> None:
        self.options = options
        self._new: tuple[str, ...] = ()  # prefixes of the names of the new blocks' weights

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Add the blocks and freeze all others.

        Raises:
            UsageError: the model is quantized, its blocks can't be divided into the groups, or it differs with the new blocks.
        """
        if not getattr(model, "is_quantized", False):
            self._expand(model)
        return super().attach(model, family)

    def is_trainable(self, name: str, family: ModelFamily, model: Module) -> bool:
        """Return whether the weight of that name is in a new block."""
        return name.startswith(self._new)

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Add the blocks to a base, and load the weights that `save` wrote. Raises as `attach` and `WholeModelTuner.restore` do."""
        self._expand(model)
        return super().restore(model, folder, trainable=trainable, name=name)

    def _expand(self, model: Any) -> None:
        path, blocks = blocks_of(model)
        config, order = model.config.get_text_config(), self._order(len(blocks))
        before = None if next(blocks.parameters()).is_meta else probe(model)
        outputs = [_output_layers(model, block) for block in blocks]
        new = [place for place, number in enumerate(order) if place and order[place - 1] == number]
        expanded = [copy.deepcopy(blocks[number]) if place in new else blocks[number] for place, number in enumerate(order)]
        for place in new:
            for name in outputs[order[place]]:
                for parameter in expanded[place].get_submodule(name).parameters():
                    nn.init.zeros_(parameter)
        for place, block in enumerate(expanded):
            for part in block.modules():
                if hasattr(part, "layer_idx"):
                    setattr(part, "layer_idx", place)  # noqa: B010 (it is an int, but may be any submodule for mypy)
        for name, value in config.to_dict().items():  # lists with one entry for each block, such as layer_types
            if isinstance(value, list) and len(value) == len(blocks):
                setattr(config, name, [value[number] for number in order])
        config.num_hidden_layers = len(expanded)
        model.set_submodule(path, nn.ModuleList(expanded))
        self._new = tuple(f"{path}.{place}." for place in new)
        _check(model, before)

    def _order(self, blocks: int) -> list[int]:
        """Return the number of the old block that each block is, or is a copy of; copies follow it."""
        groups = self.options.groups or self.options.new_blocks
        if blocks % groups:
            possible = ", ".join(str(number) for number in range(1, blocks + 1) if blocks % number == 0)
            message = f"{blocks} blocks can't be divided into {groups} equal groups"
            raise UsageError(
                message, code="PLUGIN-039", where="tuner.groups", hint=f"Set the groups, or new_blocks, to one of: {possible}."
            )
        size, copies = blocks // groups, self.options.new_blocks // groups
        return [number for number in range(blocks) for _ in range(1 + copies * ((number + 1) % size == 0))]


def _output_layers(model: Module, block: Module) -> list[str]:
    """Return the names of the linear layers that are called last in each part of a block: its outputs."""
    last: dict[str, str] = {}
    names: dict[Module, str] = {layer: name for name, layer in block.named_modules() if isinstance(layer, nn.Linear)}
    parts = parts_with_linear_layers(block)

    def called(layer: Module, inputs: Any, output: Any) -> None:
        name = names[layer]
        last[name.partition(".")[0]] = name

    handles = [layer.register_forward_hook(called) for layer in names]
    try:
        probe(model)
    finally:
        for handle in handles:
            handle.remove()
    return [last[part] for part in parts if part in last]


def _check(model: Any, before: torch.Tensor | None) -> None:
    """Check that the model computes what it did, and that its configuration describes it.

    Raises:
        UsageError: it does not.
    """
    hint = "Use --tuner lora."
    with torch.device("meta"):
        described = {name: value.shape for name, value in type(model)._from_config(copy.deepcopy(model.config)).state_dict().items()}
    if described != {name: value.shape for name, value in model.state_dict().items()}:
        message = f"the configuration of {type(model).__name__} can't describe more blocks"
        raise UsageError(message, code="PLUGIN-040", where="tuner", hint=hint)
    if before is not None and (probe(model) - before).abs().max() > _TOLERANCE * before.abs().max():
        message = f"the new blocks of {type(model).__name__} change what it computes before they are trained"
        raise UsageError(message, code="PLUGIN-041", where="tuner", hint=hint)
