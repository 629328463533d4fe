"""Weights on their way between transformers' names and the parts that processes hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from swift_plugin_megatron import groups, layout

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.layout import Heads
    from swift_plugin_megatron.sizes import Sizes
    from swift_plugin_megatron.slots import Slot


class Transfer:
    """Cuts and gathers the weights of slots.

    Args:
        heads: the model's.
        shapes: of the whole weights, by transformers' names.
    """

    def __init__(self, sizes: Sizes, heads: Heads, shapes: Mapping[str, torch.Size], device: torch.device) -> None:
        self.sizes, self.shapes, self.device = sizes, shapes, device
        self.heads = heads._replace(query=heads.query // sizes.tensor, key=heads.key // sizes.tensor)
        self.rank = dist.get_rank(groups.tensor())

    def part(self, slot: Slot, weights: Mapping[str, Tensor]) -> Tensor:
        """This process's part of a slot, from whole weights of transformers."""
        cuts = [layout.cut(weights[name], slot.kind, self.rank, self.sizes.tensor) for name in slot.theirs]
        return layout.join(cuts, slot.kind, self.heads)

    def whole(self, slot: Slot, part: Tensor | None, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """Whole weights of transformers from the parts of all processes. Collective.

        Args:
            part: this process's; None where another stage has the slot.
            dtype: of the weights.
        """
        weights: Sequence[Tensor]
        if part is None:
            weights = [torch.empty(self.shapes[name], dtype=dtype, device=self.device) for name in slot.theirs]
        else:
            parts = layout.split(part.detach(), slot.kind, self.heads, len(slot.theirs))
            weights = [self._gathered(part, slot, name) for part, name in zip(parts, slot.theirs, strict=True)]
        for name, weight in zip(slot.theirs, weights, strict=True):
            if self.sizes.pipeline > 1:
                dist.broadcast(weight, group=groups.pipeline(), group_src=slot.stage % self.sizes.pipeline)
            yield name, weight

    def _gathered(self, part: Tensor, slot: Slot, name: str) -> Tensor:
        if layout.cut_dimension(slot.kind, part.ndim) is None or self.sizes.tensor == 1:
            return part.clone()
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.sizes.tensor)]
        dist.all_gather(parts, part.contiguous(), group=groups.tensor())
        return layout.whole(parts, slot.kind, self.shapes[name][0])
