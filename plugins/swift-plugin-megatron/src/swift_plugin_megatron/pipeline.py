"""A step's passes through the stages of a pipeline, and what goes between them.

megatron-core's own schedule puts what it receives on CUDA, whatever the weights are on, and so is not used. Rows need not be of the same
length: every process of a copy has the same micro-batches, and so knows the shapes that come. Sending never waits, and each direction
has a group of its own, so that no two processes can wait for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.context_parallel import pad_to_multiple, shard_tokens

from swift_plugin_megatron import groups
from swift_plugin_megatron.schedule import order

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor

    from swift_plugin_megatron.model import Stage
    from swift_plugin_megatron.sizes import Sizes


class Pipeline:
    """This process's stages, and the ways to those before and after them.

    Args:
        dtype: of what goes between the stages.
    """

    def __init__(self, stages: Sequence[Stage], sizes: Sizes, dtype: torch.dtype, device: torch.device) -> None:
        self.stages, self.sizes, self.dtype, self.device = stages, sizes, dtype, device
        self.rank, self.ranks = dist.get_rank(groups.pipeline()), dist.get_world_size(groups.pipeline())
        # onward and back, each between neighbours and between the last process and the first
        self.onward, self.back = ([_own_group() for _ in range(min(2, len(stages)))] for _ in range(2))
        self._sent: list[tuple[Any, Tensor]] = []

    def run(self, micros: Sequence[Micro], task: LossTask, weight: float, *, train: bool, after: Callable[[], None]) -> float:
        """Sum of the losses of this copy's rows, the same in all its stages; with `train`, gradients of that × `weight`.

        Args:
            after: called after each backward pass.
        """
        losses: list[Tensor] = []
        kept: dict[tuple[int, int], tuple[Tensor | None, Tensor]] = {}
        if len(self.stages) > 1 and (missing := -len(micros) % self.ranks):
            micros = [*micros, *[replace(micros[-1], weights=torch.zeros_like(micros[-1].weights))] * missing]
        micros = [self._own(micro) for micro in micros]
        passes = order(self.rank, self.ranks, len(self.stages), len(micros))
        for forward, chunk, micro in passes if train else [each for each in passes if each.forward]:
            stage = self.stages[chunk]
            if forward:
                given, output = self._forward(stage, micros[micro].to(self.device), task, train=train)
                if stage.last:
                    losses.append(output.detach())
                else:
                    self._send(output.detach(), 1, self.onward)
                if train:
                    kept[chunk, micro] = given, output * weight if stage.last else output
            else:
                given, output = kept.pop((chunk, micro))
                torch.autograd.backward(output, None if stage.last else self._receive(output.shape, 1, self.back))
                if given is not None:
                    assert given.grad is not None
                    self._send(given.grad, -1, self.back)
                after()
        for work, _ in self._sent:
            work.wait()
        self._sent.clear()
        total = torch.tensor(sum(loss.item() for loss in losses), dtype=torch.float64, device=self.device)
        for group in (groups.pipeline(), groups.context()):
            if group.size() > 1:
                dist.all_reduce(total, group=group)
        return total.item()

    def _own(self, micro: Micro) -> Micro:
        """This process's tokens."""
        micro = pad_to_multiple(micro, self.sizes.context * self.sizes.between)
        return shard_tokens(micro, dist.get_rank(groups.context()), self.sizes.context) if self.sizes.context > 1 else micro

    def _forward(self, stage: Stage, micro: Micro, task: LossTask, *, train: bool) -> tuple[Tensor | None, Tensor]:
        given = None
        stage.rows(micro.lengths)
        if not stage.first:
            shape = torch.Size((micro.input_ids.shape[1] // self.sizes.between, 1, stage.width))
            given = self._receive(shape, -1, self.onward).requires_grad_(train)
            stage.given(given)
        with torch.set_grad_enabled(train):
            if stage.last:
                return given, task.loss(task.forward(stage, micro), micro)
            return given, stage.hidden(micro.input_ids, micro.position_ids)

    def _send(self, tensor: Tensor, step: int, ways: Sequence[dist.ProcessGroup | None]) -> None:
        self._sent = [(work, kept) for work, kept in self._sent if not work.is_completed()]
        to, group = self._way(step, ways)
        tensor = tensor.contiguous()
        self._sent.append((dist.isend(tensor, group=group, group_dst=to), tensor))

    def _receive(self, shape: torch.Size, step: int, ways: Sequence[dist.ProcessGroup | None]) -> Tensor:
        source, group = self._way(step, ways)
        tensor = torch.empty(shape, dtype=self.dtype, device=self.device)
        dist.recv(tensor, group=group, group_src=source)
        return tensor

    def _way(self, step: int, ways: Sequence[dist.ProcessGroup | None]) -> tuple[int, dist.ProcessGroup | None]:
        """The process one before or after this one, and the group for what goes to it or comes from it."""
        other = self.rank + step
        return other % self.ranks, ways[-1] if not 0 <= other < self.ranks else ways[0]


def _own_group() -> dist.ProcessGroup | None:
    """Another group of this process's pipeline; every process must call."""
    ranks = dist.get_process_group_ranks(groups.pipeline())
    if len(ranks) == 1:
        return None
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, ranks)
    own = None
    for members in sorted({tuple(item) for item in everyone}):
        group = dist.new_group(list(members))
        own = group if dist.get_rank() in members else own
    return own
