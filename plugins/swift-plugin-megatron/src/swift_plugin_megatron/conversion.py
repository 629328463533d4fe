"""Conversion of weights between transformers' names and the shards of each process."""

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
    """Shards weights of transformers into those of megatron-core, and gathers them again.

    Args:
        heads: those of the whole model; the attribute `heads` has those of this process.
        shapes: shapes of the full weights, by transformers' names.
    """

    def __init__(self, sizes: Sizes, heads: Heads, shapes: Mapping[str, torch.Size], device: torch.device) -> None:
        self.sizes, self.shapes, self.device = sizes, shapes, device
        self.heads = heads._replace(query=heads.query // sizes.tensor, key=heads.key // sizes.tensor)
        self.rank = dist.get_rank(groups.tensor())

    def shard(self, placement: Placement, weights: Mapping[str, Tensor]) -> Tensor:
        """Return this process's shard of a placement, from full weights of transformers."""
        if placement.expert is not None:
            return weights[placement.hf_names[0]][placement.expert]
        shards = [layout.shard(weights[name], placement.kind, self.rank, self.sizes.tensor) for name in placement.hf_names]
        return layout.fuse(shards, placement.kind, self.heads)

    def gather(self, placement: Placement, shards: Sequence[Tensor], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """Yield full weights of transformers, gathered from the shards of all processes. Collective.

        Args:
            placement: the placement, or that of the layer's first expert.
            shards: this process's shard, or one for each expert that it has; empty if the weight is in another stage.
            dtype: data type of the weights.
        """
        weights: Sequence[Tensor]
        if not shards:
            weights = [torch.empty(self.shapes[name], dtype=dtype, device=self.device) for name in placement.hf_names]
        elif placement.expert is not None:
            weights = [torch.cat(_all_gather(torch.stack([shard.detach() for shard in shards]), groups.experts()))]
        else:
            parts = layout.unfuse(shards[0].detach(), placement.kind, self.heads, len(placement.hf_names))
            weights = [self._unshard(part, placement, name) for part, name in zip(parts, placement.hf_names, strict=True)]
        for name, weight in zip(placement.hf_names, weights, strict=True):
            if self.sizes.pipeline > 1:
                dist.broadcast(weight, group=groups.pipeline(), group_src=placement.stage % self.sizes.pipeline)
            yield name, weight

    def _unshard(self, shard: Tensor, placement: Placement, name: str) -> Tensor:
        if layout.shard_dimension(placement.kind, shard.ndim) is None:
            return shard.clone()
        return layout.unshard(_all_gather(shard, groups.tensor()), placement.kind, self.shapes[name][0])


def _all_gather(shard: Tensor, group: dist.ProcessGroup) -> list[Tensor]:
    """Return the shards of a group's processes, all of the same shape."""
    shards = [torch.empty_like(shard, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    dist.all_gather(shards, shard.contiguous(), group=group)
    return shards
