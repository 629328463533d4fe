"""megatron-core behind the Strategy contract: its layers and process groups, in the one training loop.

- One process reads the transformers model and broadcasts its weights, a few at a time; each process loads its shards of them into a
  GPTModel. The same weight map gathers them for checkpoints, which are plain transformers checkpoints.
- The processes of a tensor-parallel group compute the same rows, and the same loss from full logits, so any task of the loop works; those
  of a context-parallel group each compute the loss of some tokens of the same rows, or that of whole rows from their gathered logits.
- Gradients are reduced over the replicas once per step, before clipping.
- Trainable weights are float32. If the model was loaded in bfloat16, the passes use rounded copies of them.
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
from swift_plugin_megatron.gradients import gradient_norm, reduce_gradients
from swift_plugin_megatron.master_weights import MasterWeights
from swift_plugin_megatron.pipeline import Pipeline
from swift_plugin_megatron.sharded_model import ShardedModel, raise_first
from swift_plugin_megatron.sizes import size_problems, sizes_of
from swift_plugin_megatron.verification import verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_megatron.options import MegatronOptions


class MegatronStrategy:
    """`swift_train.strategy.Strategy` over megatron-core's GPTModel."""

    fixed_shapes = False
    whole_rows = False  # `swift_train.strategy.TokenSharding`

    def __init__(self, options: MegatronOptions) -> None:
        self.options = options
        rank, processes = rank_and_size()
        raise_first(size_problems(options, processes, {}))  # checked again: the number of processes may differ from the run's
        self.sizes = sizes_of(options, processes)
        self.data_rank, self.data_size = self.sizes.data_rank(rank), self.sizes.data
        self.writer = rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, shard it, verify the sharding, and make the optimizer."""
        groups.initialize(self.device, self.sizes, self.options.timeout)
        module, full_readers = load_on_first_rank(load, self.device)
        dtype = compute_dtype(module)
        self.model = ShardedModel(module, self.options, self.sizes, self.device, dtype)
        self.stages = self.model.stages
        self.placement = (
            verify_sharding(self.model)
            | {"float8_layers": self.model.float8_layers}
            | {"precision": str(dtype).removeprefix("torch."), "full_readers": full_readers}
        )
        self.optimizer = optimizer(self.stages)
        self.settings = group_settings(self.optimizer)
        self.master_weights = MasterWeights(self.stages, dtype)
        masters = [(each, self.master_weights.by_name.get(self.model.parameter_name(each))) for each in self.model.local_placements]
        self.trainable = [self.model.trainable_shard(placement, master) for placement, master in masters if master is not None]
        self.distributed_optimizer: DistributedOptimizer | None = None
        if self.options.distributed_optimizer:
            self.distributed_optimizer = DistributedOptimizer(self.optimizer, self.trainable)
        self.saves_shard = state.is_first_copy()
        self.pipeline = Pipeline(self.model.chunks, self.sizes, dtype, self.device, whole_rows=self.whole_rows)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over the data ranks (sum), or over all processes (max)."""
        if op == "max":
            return all_reduce(x, op, self.device)
        total = torch.tensor(x, dtype=torch.float64, device=self.device)
        dist.all_reduce(total, group=groups.data())
        return total.item()

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run the passes of a step through all stages."""
        self.stages.train(train)
        loss = self.pipeline.run(micros, task, weight, train=train, after_backward=self.master_weights.collect_gradients)
        return self.reduce(loss, "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Reduce the gradients, clip them by the global norm, and step; if the norm is not finite, skip the step."""
        set_learning_rate(self.optimizer, lr)
        reduce_gradients(self.trainable)
        norm = gradient_norm(self.trainable, self.device)
        finite = bool(norm.isfinite())
        if finite and clip:
            torch.nn.utils.clip_grads_with_norm_([item.parameter for item in self.trainable], clip, norm.float())
        if finite:
            self.optimizer.step()
            if self.distributed_optimizer:
                self.distributed_optimizer.broadcast()
            self.master_weights.update_copies()
        for item in self.trainable:
            item.parameter.grad = None
        return Update(norm.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield full weights under transformers' names, gathered one placement at a time; the writer's are in main memory."""
        for name, weight in self.model.full_weights(self._shard, names):
            yield name, weight.cpu() if self.writer else weight

    def save(self, folder: Path) -> None:
        """Write each distinct shard once, and the random states of every process."""
        state.save(folder, self)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote with the same parallel sizes."""
        state.load(folder, self)

    def _shard(self, name: str) -> Tensor:
        """Return a parameter's shard: the float32 master weight if it is trainable."""
        masters = self.master_weights.by_name
        return masters[name] if name in masters else self.stages.get_parameter(name)
