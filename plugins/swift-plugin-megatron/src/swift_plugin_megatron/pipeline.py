"""A step's passes through the stages: one forward, one backward in turn (1F1B), so that few micro-batches are kept at a time.

megatron-core's own schedule puts what it receives on CUDA, whatever the weights are on, and so is not used. Rows need not be of the same
length: every process of a copy has the same micro-batches, and so knows the shapes that come. Sending never waits, and each direction
has a group of its own, so that no two processes can wait for one another.

Method: Narayanan et al. 2021, https://arxiv.org/abs/2104.04473
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist

from swift_plugin_megatron import groups

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor

    from swift_plugin_megatron.model import Stage


class Pass(NamedTuple):
    """What a process does next: the forward (or else the backward) pass of a micro-batch."""

    forward: bool
    micro: int


def order(rank: int, ranks: int, micros: int) -> list[Pass]:
    """A process's passes of a step: as many forward ones ahead as there are stages behind it, then in turn."""
    ahead = min(ranks - rank - 1, micros)
    passes = [Pass(True, micro) for micro in range(ahead)]
    for micro in range(micros):
        if micro + ahead < micros:
            passes.append(Pass(True, micro + ahead))
        passes.append(Pass(False, micro))
    return passes


class Pipeline:
    """This process's stage, and the ways to those before and after it.

    Args:
        dtype: of what goes between the stages.
    """

    def __init__(self, stage: Stage, dtype: torch.dtype, device: torch.device) -> None:
        self.stage, self.dtype, self.device = stage, dtype, device
        self.rank, self.ranks = dist.get_rank(groups.pipeline()), dist.get_world_size(groups.pipeline())
        self.onward, self.back = (_own_group() for _ in range(2))
        self._sent: list[tuple[Any, Tensor]] = []

    def run(self, micros: Sequence[Micro], task: LossTask, weight: float, *, train: bool, after: Callable[[], None]) -> float:
        """Sum of the losses of this copy's rows, the same in all its stages; with `train`, gradients of that × `weight`.

        Args:
            after: called after each backward pass.
        """
        losses: list[Tensor] = []
        kept: dict[int, tuple[Tensor | None, Tensor]] = {}
        passes = order(self.rank, self.ranks, len(micros)) if train else [Pass(True, micro) for micro in range(len(micros))]
        for forward, micro in passes:
            if forward:
                given, output = self._forward(micros[micro].to(self.device), task, train=train)
                if self.stage.last:
                    losses.append(output.detach())
                else:
                    self._send(output.detach(), self.rank + 1, self.onward)
                if train:
                    kept[micro] = given, output * weight if self.stage.last else output
            else:
                given, output = kept.pop(micro)
                torch.autograd.backward(output, None if self.stage.last else self._receive(output.shape, self.rank + 1, self.back))
                if given is not None:
                    assert given.grad is not None
                    self._send(given.grad, self.rank - 1, self.back)
                after()
        for work, _ in self._sent:
            work.wait()
        self._sent.clear()
        total = torch.tensor(sum(loss.item() for loss in losses), dtype=torch.float64, device=self.device)
        if self.ranks > 1:
            dist.all_reduce(total, group=groups.pipeline())
        return total.item()

    def _forward(self, micro: Micro, task: LossTask, *, train: bool) -> tuple[Tensor | None, Tensor]:
        given = None
        if self.rank:
            given = self._receive(torch.Size((micro.input_ids.shape[1], 1, self.stage.width)), self.rank - 1, self.onward).requires_grad_(
                train
            )
            self.stage.given(given)
        with torch.set_grad_enabled(train):
            if self.stage.last:
                return given, task.loss(task.forward(self.stage, micro), micro)
            return given, self.stage.hidden(micro.input_ids, micro.position_ids)

    def _send(self, tensor: Tensor, to: int, group: dist.ProcessGroup | None) -> None:
        self._sent = [(work, kept) for work, kept in self._sent if not work.is_completed()]
        tensor = tensor.contiguous()
        self._sent.append((dist.isend(tensor, group=group, group_dst=to), tensor))

    def _receive(self, shape: torch.Size, source: int, group: dist.ProcessGroup | None) -> Tensor:
        tensor = torch.empty(shape, dtype=self.dtype, device=self.device)
        dist.recv(tensor, group=group, group_src=source)
        return tensor


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
