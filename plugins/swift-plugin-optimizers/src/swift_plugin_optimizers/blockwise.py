"""AdamW that updates some blocks of the model at a time, and keeps the state of these alone: BAdam and LISA.

A block is a decoder layer. Every `interval` steps others are chosen, whose state starts anew. All gradients are computed, so that it saves
the memory of the state, not that of the gradients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from swift_train.parameter_groups import split_by_decay

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_plugin_optimizers.options import BlockwiseOptions

_LAYER = re.compile(r"\.(\d+)\.")
_COUNT = "block_step"  # entry of the first group: steps so far


class Blockwise:
    """BAdam (Luo et al. 2024, https://arxiv.org/abs/2404.02827) and LISA (Pan et al. 2024, https://arxiv.org/abs/2403.17919)."""

    def __init__(self, options: BlockwiseOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Return AdamW over all of the groups: without the model, they are no layers."""
        blocks = {id(weight): None for group in groups for weight in group["params"]}
        return _BlockwiseAdamW(split_by_decay(groups, lr, self.options.weight_decay), blocks, [], self.options)

    def build_for(self, model: Module, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Return the optimizer over the trainable weights of a model.

        Raises:
            UsageError: the model has fewer layers than are to be trained at a time.
        """
        options = self.options
        blocks = {id(weight): _block(name) for name, weight in model.named_parameters() if weight.requires_grad}
        made = split_by_decay(groups, lr, options.weight_decay)
        layers = sorted({block for block in blocks.values() if block is not None})
        if len(layers) < options.layers:
            message = f"{options.layers} layers at a time, and {len(layers)} have weights that are trained"
            raise UsageError(message, code="PLUGIN-033", where="optimizer.layers", hint="Choose a smaller number.")
        return _BlockwiseAdamW(made, blocks, layers, options)


class _BlockwiseAdamW(torch.optim.AdamW):
    def __init__(
        self, groups: Sequence[dict[str, Any]], blocks: Mapping[int, int | None], layers: Sequence[int], options: BlockwiseOptions
    ) -> None:
        super().__init__(groups, betas=(options.beta1, options.beta2), eps=options.eps)
        self._blocks, self._layers, self._options = blocks, layers, options
        self.param_groups[0].setdefault(_COUNT, 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the blocks whose turn it is; `closure` is not supported."""
        assert closure is None
        turn = self.param_groups[0][_COUNT] // self._options.interval
        chosen = self.chosen(turn) if self._layers else set()
        gradients: list[tuple[Tensor, Tensor | None]] = []
        for weight in chain.from_iterable(group["params"] for group in self.param_groups):
            block = self._blocks[id(weight)]
            if block not in chosen if block is not None else self._layers and not self._options.others:
                gradients.append((weight, weight.grad))
                weight.grad = None
                self.state.pop(weight, None)
        super().step()
        for weight, gradient in gradients:
            weight.grad = gradient
        self.param_groups[0][_COUNT] += 1

    def chosen(self, turn: int) -> set[int]:
        """Return the layers that are updated in a turn."""
        layers, count, order = self._layers, self._options.layers, self._options.order
        if order == "random":
            return set(Random(turn).sample(list(layers), count))
        ordered = list(layers) if order == "ascending" else list(reversed(layers))
        return {ordered[(turn * count + place) % len(ordered)] for place in range(count)}


def _block(name: str) -> int | None:
    """Return the number of the layer that a parameter belongs to; None for embeddings, the last norm and the output layer."""
    found = _LAYER.search(f".{name}")
    return int(found[1]) if found else None
