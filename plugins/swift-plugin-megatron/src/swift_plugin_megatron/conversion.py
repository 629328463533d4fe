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
    from swift_plugin_megatron.placement import Placement
    from swift_plugin_megatron.sizes import Sizes


class WeightConverter:
    """Cuts and gathers the weights of slots.

    Args:
        heads: the model's.
        shapes: of the whole weights, by transformers' names.
    """

    def __init__(self, sizes: Sizes, heads: Heads, shapes: Mapping[str, torch.Size], device: torch.device) -> None:
        self.sizes, self.shapes, self.device = sizes, shapes, device
        self.heads = heads._replace(query=heads.query // sizes.tensor, key=heads.key // sizes.tensor)
        self.rank = dist.get_rank(groups.tensor())

    def part(self, slot: Placement, weights: Mapping[str, Tensor]) -> Tensor:
        """This process's part of a slot, from whole weights of transformers."""
        if slot.expert is not None:
            return weights[slot.theirs[0]][slot.expert]
        cuts = [layout.cut(weights[name], slot.kind, self.rank, self.sizes.tensor) for name in slot.theirs]
        return layout.join(cuts, slot.kind, self.heads)

    def whole(self, slot: Placement, parts: Sequence[Tensor], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """Whole weights of transformers from the parts of all processes. Collective.

        Args:
            slot: it, or the first of a layer's experts.
            parts: this process's, one, or one of each expert that it has; none where another stage has the slot.
            dtype: of the weights.
        """
        weights: Sequence[Tensor]
        if not parts:
            weights = [torch.empty(self.shapes[name], dtype=dtype, device=self.device) for name in slot.theirs]
        elif slot.expert is not None:
            weights = [torch.cat(_from_all(torch.stack([part.detach() for part in parts]), groups.experts()))]
        else:
            split = layout.split(parts[0].detach(), slot.kind, self.heads, len(slot.theirs))
            weights = [self._gathered(part, slot, name) for part, name in zip(split, slot.theirs, strict=True)]
        for name, weight in zip(slot.theirs, weights, strict=True):
            if self.sizes.pipeline > 1:
                dist.broadcast(weight, group=groups.pipeline(), group_src=slot.stage % self.sizes.pipeline)
            yield name, weight

    def _gathered(self, part: Tensor, slot: Placement, name: str) -> Tensor:
        if layout.cut_dimension(slot.kind, part.ndim) is None:
            return part.clone()
        return layout.whole(_from_all(part, groups.tensor()), slot.kind, self.shapes[name][0])


def _from_all(part: Tensor, group: dist.ProcessGroup) -> list[Tensor]:
    """The parts of a group's processes, all of one shape."""
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, part.contiguous(), group=group)
    return parts
