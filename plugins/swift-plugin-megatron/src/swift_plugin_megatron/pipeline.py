"""The passes of a step through the pipeline stages, and the communication between them.

megatron-core's own schedule receives into CUDA tensors, whatever device the weights are on, and is therefore not used. Rows may have
different lengths: all stages of a replica have the same micro-batches, so each knows the shapes that it receives. Sends are asynchronous,
and each direction has its own process group, so no two processes can deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.context_outputs import ShardedCall, pad_rows
from swift_train.context_parallel import pad_to_multiple, shard_tokens

from swift_plugin_megatron import groups
from swift_plugin_megatron.moe import scale_router_losses
from swift_plugin_megatron.schedule import passes_of

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor

    from swift_plugin_megatron.model import Stage
    from swift_plugin_megatron.sizes import Sizes


class Pipeline:
    """This process's stages, and its links to the previous and the next process.

    Args:
        dtype: data type of the activations between stages.
        whole_rows: whether the processes of a context-parallel group compute the loss from the outputs of whole rows.
    """

    def __init__(
        self, stages: Sequence[Stage], sizes: Sizes, dtype: torch.dtype, device: torch.device, *, whole_rows: bool = False
    ) -> None:
        self.stages, self.sizes, self.dtype, self.device = stages, sizes, dtype, device
        self.whole_rows = whole_rows and sizes.context > 1
        self.rank, self.ranks = dist.get_rank(groups.pipeline()), dist.get_world_size(groups.pipeline())
        # one group between neighbours; with interleaving another one between the last and the first process
        count = min(2, len(stages))
        self.forward_groups, self.backward_groups = ([_new_pipeline_group() for _ in range(count)] for _ in range(2))
        self._sent: list[tuple[Any, Tensor]] = []

    def run(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, *, train: bool, after_backward: Callable[[], None]) -> float:
        """Run the passes of a step; with `train`, gradients are those of the loss × `weight`. Collective.

        Args:
            after_backward: called after each backward pass.

        Returns:
            The sum of the losses over this replica's rows, the same in all of its stages.
        """
        losses: list[Tensor] = []
        kept: dict[tuple[int, int], tuple[Tensor | None, Tensor]] = {}
        if len(self.stages) > 1 and (missing := -len(micros) % self.ranks):
            micros = [*micros, *[micros[-1].as_filler()] * missing]
        counts = [int((micro.weights > 0).sum()) for micro in micros]
        micros = [self._local_tokens(micro) for micro in micros]
        passes = passes_of(self.rank, self.ranks, len(self.stages), len(micros))
        for forward, chunk, micro in passes if train else [each for each in passes if each.forward]:
            stage = self.stages[chunk]
            if forward:
                received, output = self._forward(stage, micros[micro].to(self.device), task, train=train)
                if stage.is_last:
                    losses.append(output.detach())
                else:
                    self._send(output.detach(), 1, self.forward_groups)
                if train:
                    kept[chunk, micro] = received, output * weight if stage.is_last else output
            else:
                received, output = kept.pop((chunk, micro))
                gradient = None if stage.is_last else self._receive(output.shape, 1, self.backward_groups)
                scale_router_losses(weight * counts[micro], self.device)
                torch.autograd.backward(output, gradient)
                if received is not None:
                    assert received.grad is not None
                    self._send(received.grad, -1, self.backward_groups)
                after_backward()
        for work, _ in self._sent:
            work.wait()
        self._sent.clear()
        total = torch.tensor(sum(loss.item() for loss in losses), dtype=torch.float64, device=self.device)
        for group in (groups.pipeline(), groups.context()):
            if group.size() > 1:
                dist.all_reduce(total, group=group)
        return total.item()

    def _local_tokens(self, micro: Micro) -> Micro:
        """Return this process's tokens of a micro-batch, padded so that they can be sharded; all tokens if losses need whole rows."""
        multiple = self.sizes.context * self.sizes.sequence_shards
        if self.whole_rows:
            return pad_rows(micro, multiple)
        micro = pad_to_multiple(micro, multiple)
        return shard_tokens(micro, dist.get_rank(groups.context()), self.sizes.context) if self.sizes.context > 1 else micro

    def _forward(self, stage: Stage, micro: Micro, task: ForwardLoss, *, train: bool) -> tuple[Tensor | None, Tensor]:
        received = None
        stage.set_row_lengths(micro.lengths, whole=self.whole_rows)
        tokens = slice(None)
        if self.whole_rows:
            tokens = ShardedCall(micro.input_ids.shape[1], None, groups.context()).tokens
        if not stage.is_first:
            shape = torch.Size((micro.input_ids[:, tokens].shape[1] // self.sizes.sequence_shards, 1, stage.hidden_size))
            received = self._receive(shape, -1, self.forward_groups).requires_grad_(train)
            stage.set_input(received)
        with torch.set_grad_enabled(train):
            if stage.is_last:
                loss = task.loss(task.forward(stage, micro), micro)
                return received, loss / self.sizes.context if self.whole_rows else loss
            return received, stage.hidden_states(micro.input_ids[:, tokens], micro.position_ids[:, tokens])

    def _send(self, tensor: Tensor, step: int, pipeline_groups: Sequence[dist.ProcessGroup | None]) -> None:
        self._sent = [(work, sent) for work, sent in self._sent if not work.is_completed()]
        destination, group = self._neighbour(step, pipeline_groups)
        tensor = tensor.contiguous()
        self._sent.append((dist.isend(tensor, group=group, group_dst=destination), tensor))

    def _receive(self, shape: torch.Size, step: int, pipeline_groups: Sequence[dist.ProcessGroup | None]) -> Tensor:
        source, group = self._neighbour(step, pipeline_groups)
        tensor = torch.empty(shape, dtype=self.dtype, device=self.device)
        dist.recv(tensor, group=group, group_src=source)
        return tensor

    def _neighbour(self, step: int, pipeline_groups: Sequence[dist.ProcessGroup | None]) -> tuple[int, dist.ProcessGroup | None]:
        """Return the rank of the next (1) or previous (-1) process, and the group to communicate in."""
        other = self.rank + step
        return other % self.ranks, pipeline_groups[-1] if not 0 <= other < self.ranks else pipeline_groups[0]


def _new_pipeline_group() -> dist.ProcessGroup | None:
    """Create another group of this process's pipeline; None if it has one process. Collective over all processes."""
    ranks = dist.get_process_group_ranks(groups.pipeline())
    if len(ranks) == 1:
        return None
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, ranks)
    own = None
    for members in sorted({tuple(item) for item in gathered}):
        group = dist.new_group(list(members))
        own = group if dist.get_rank() in members else own
    return own
