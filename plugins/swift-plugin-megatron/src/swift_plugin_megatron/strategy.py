"""megatron-core behind the Strategy contract: its layers and its groups of processes, in the one training loop.

- One process reads the model as transformers has it and gives the weights out, a few at a time; each puts its part of them into a
  GPTModel. What is written is gathered again by the same map, so that a checkpoint is one of transformers.
- The processes of a tensor group compute the same rows, and the same loss from whole logits, so that any task of the loop works; those
  of a context group, each the loss of some tokens of the same rows.
- Gradients are added up over the copies once a step, before they are clipped.
- Weights that learn are float32; where the loaded ones are bfloat16, the passes use rounded copies of them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from swift_train.broadcast_loading import load_on_first_rank
from swift_train.ranks import all_reduce, compute_dtype, rank_and_size, rank_device
from swift_train.strategy import Update
from swift_train.training_state import group_settings, set_learning_rate

from swift_plugin_megatron import groups, state
from swift_plugin_megatron.distributed_optimizer import DistributedOptimizer
from swift_plugin_megatron.gradients import add_up, norm
from swift_plugin_megatron.master_weights import MasterWeights
from swift_plugin_megatron.pipeline import Pipeline
from swift_plugin_megatron.sharded_model import ShardedModel, refuse
from swift_plugin_megatron.sizes import misfits, sizes_of
from swift_plugin_megatron.verification import verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_megatron.options import MegatronOptions


class MegatronStrategy:
    """`swift_train.strategy.Strategy` over megatron-core's GPTModel."""

    fixed_shapes = False

    def __init__(self, options: MegatronOptions) -> None:
        self.options = options
        rank, processes = rank_and_size()
        refuse(misfits(options, processes, {}))  # processes may be others than the run's
        self.sizes = sizes_of(options, processes)
        self.data_rank, self.data_size = self.sizes.data_rank(rank), self.sizes.data
        self.writer = rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load, cut, prove that it is cut, and make the optimizer."""
        groups.start(self.device, self.sizes, self.options.timeout)
        module, readers = load_on_first_rank(load, self.device)
        dtype = compute_dtype(module)
        self.placed = ShardedModel(module, self.options, self.sizes, self.device, dtype)
        self.stages = self.placed.stages
        self.placement = verify_sharding(self.placed) | {"precision": str(dtype).removeprefix("torch."), "read_by": readers}
        self.optimizer = optimizer(self.stages)
        self.settings = group_settings(self.optimizer)
        self.masters = MasterWeights(self.stages, dtype)
        masters = [(slot, self.masters.of.get(self.placed.key(slot))) for slot in self.placed.here]
        self.learned = [self.placed.learned(slot, master) for slot, master in masters if master is not None]
        self.dealt = DistributedOptimizer(self.optimizer, self.learned) if self.options.distributed_optimizer else None
        self.first = state.first()
        self.pipeline = Pipeline(self.stages, self.sizes, dtype, self.device)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Sum over the parts of the rows, or largest of all processes."""
        if op == "max":
            return all_reduce(x, op, self.device)
        total = torch.tensor(x, dtype=torch.float64, device=self.device)
        dist.all_reduce(total, group=groups.data())
        return total.item()

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Passes of a step through all stages."""
        self.stages.train(train)
        return self.reduce(self.pipeline.run(micros, task, weight, train=train, after=self.masters.collect), "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Add the gradients up, clip them by the norm over all parts, and step; one that is not finite is forgotten."""
        set_learning_rate(self.optimizer, lr)
        add_up(self.learned)
        length = norm(self.learned, self.device)
        finite = bool(length.isfinite())
        if finite and clip:
            torch.nn.utils.clip_grads_with_norm_([item.parameter for item in self.learned], clip, length.float())
        if finite:
            self.optimizer.step()
            if self.dealt:
                self.dealt.give()
            self.masters.publish()
        for item in self.learned:
            item.parameter.grad = None
        return Update(length.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Whole weights under transformers' names; gathered one slot after the other."""
        for name, weight in self.placed.whole(self._part, names):
            yield name, weight.cpu() if self.writer else weight

    def save(self, folder: Path) -> None:
        """Each different part once, random states of every process."""
        state.save(folder, self)

    def load(self, folder: Path) -> None:
        """The inverse of `save`, on processes that are cut alike."""
        state.load(folder, self)

    def _part(self, name: str) -> Tensor:
        """What is learned in float32, the rest as it is."""
        return self.masters.of[name] if name in self.masters.of else self.stages.get_parameter(name)
