"""Outputs of whole rows under context parallelism, for losses that are no sum over tokens.

A call of the model on all tokens is run on this process's shard of them, and its outputs are gathered: every process computes the loss of
the whole rows. Each then has the gradient by all outputs, and takes that of its own. So that the losses of the processes sum to the loss,
each is divided by their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from swift_train.context_parallel import pad_to_multiple, row_lengths
from swift_train.media.micro import refuse_media

if TYPE_CHECKING:
    from swift_train.batches import Micro


def pad_rows(micro: Micro, multiple: int) -> Micro:
    """Return a micro-batch that `ShardedCall` can shard, padded to a multiple of so many tokens, with the lengths of its rows."""
    refuse_media(micro)
    padded = pad_to_multiple(micro, multiple)
    return replace(padded, lengths=tuple(row_lengths(padded.position_ids)))


class ShardedCall:
    """One call of the model: the shard of its arguments that belongs to this process, and its gathered output.

    Args:
        tokens: of all rows; a multiple of the number of processes.
        positions: (positions,) int64, where outputs are wanted, on the device; None for every token.
        group: the processes that share the tokens.

    Attributes:
        tokens: this process's tokens.
        positions: those of the positions that are among them, counted from its first token; None for all.
    """

    def __init__(self, tokens: int, positions: Tensor | None, group: dist.ProcessGroup) -> None:
        size, part = tokens // group.size(), group.rank()
        self.tokens = slice(part * size, (part + 1) * size)
        self._group = group
        self.positions: Tensor | None = None
        self._counts, self._order = [size] * group.size(), tuple[Tensor, ...]()
        if positions is not None:
            owner = positions.div(size, rounding_mode="floor")
            self.positions = positions[owner == part] - part * size
            self._counts = torch.bincount(owner, minlength=group.size()).tolist()
            self._order = (owner.argsort(stable=True).argsort(),)

    def gather(self, output: Tensor) -> Tensor:
        """Return the outputs of all processes, (1, positions, …) from (1, own positions, …). Differentiable, collective."""
        gathered: Tensor = _Gather.apply(output, self._counts, self._group)  # type: ignore[no-untyped-call]
        return gathered.index_select(1, *self._order) if self._order else gathered


class _Gather(torch.autograd.Function):
    """Concatenate along dimension 1; the gradient is that of this process's own part, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        part = group.rank()
        ctx.own, ctx.parts = slice(sum(counts[:part]), sum(counts[: part + 1])), group.size()
        padded = own.new_zeros((own.shape[0], max(counts), *own.shape[2:]))
        padded[:, : own.shape[1]] = own
        found = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(found, padded, group=group)
        return torch.cat([each[:, :count] for each, count in zip(found, counts, strict=True)], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][:, ctx.own] * ctx.parts, None, None
