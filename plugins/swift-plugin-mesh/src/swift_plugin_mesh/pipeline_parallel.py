"""Pipeline, tensor and data parallelism: blocks are assigned to stages, which pass micro-batches on (`torch.distributed.pipelining`).

- A schedule needs micro-batches of one shape, so those of a step are padded to the longest, after their rows, where causal attention
  does not look. It needs at least as many micro-batches as stages, so empty ones are added.
- A stage's layers are sharded by the tensor-parallel plan, then all of its weights over the data dimension, as without stages. Hidden
  states are replicated in the tensor group of a stage; each process sends them to its counterpart in the next stage.
- A head that is tied to the embedding exists in the first and the last stage, and its gradients are summed over both.

Method: Huang et al. 2019, https://arxiv.org/abs/1811.06965 (gpipe); Narayanan et al. 2021, https://arxiv.org/abs/2104.04473 (1f1b)
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.broadcast_loading import broadcast_parameters
from swift_train.media.micro import refuse_media
from swift_train.placement_report import measure_placement
from swift_train.sharding import fsdp_modules, shard
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.nn import ParameterList
from torch.nn.functional import pad

from swift_core.contract import SwiftError
from swift_plugin_mesh.base import MeshStrategy, full
from swift_plugin_mesh.gradients import local
from swift_plugin_mesh.stages import Layout, Stage
from swift_plugin_mesh.tensor_parallel import parallelize, plan_of
from swift_plugin_mesh.verification import check_placements, placement_along

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module, Parameter

_SCHEDULES = {"1f1b": Schedule1F1B, "gpipe": ScheduleGPipe}


class PipelineStrategy(MeshStrategy):
    """`swift_train.strategy.Strategy` with pipeline stages."""

    fixed_shapes = True

    def make_plan(self, load: Callable[[torch.device], Module]) -> None:
        """Assign the blocks to stages, and determine the tensor-parallel plan of their layers."""
        module, size = load(torch.device("meta")), self.options.tensor
        self.layout = Layout(module, self.options.pipeline)
        self.plan = plan_of(module, size) if size > 1 else {}

    def shard_module(self) -> None:
        """Keep this process's shards of its stage."""
        self.number: int = self.mesh["pipeline"].get_local_rank()
        self.is_first, self.is_last = self.number == 0, self.number == self.options.pipeline - 1
        self.part = f"-stage-{self.number}-of-{self.options.pipeline}"  # each stage's optimizer has other parameter groups
        self.metadata = f"mesh{self.part}.pt"
        self.tied_group = self._tied_group() if self.layout.tied else None
        blocks = self.layout.keep_stage(self.module, self.number, partial(broadcast_parameters, device=self.device), self._shard_layers)
        outside = (name for name in self.plan if not name.startswith(f"{self.layout.name}."))
        for name in outside:
            if self.layout.has(self.number, f"{name}.weight"):
                self._shard_layers(name)
        shard(self.module, self.mesh["data"], self.dtype, units=blocks)
        self.stage = Stage(self.module, blocks[0], blocks[-1], is_first=self.is_first, is_last=self.is_last)
        self.names = {id(parameter): name for name, parameter in self.module.named_parameters() if not parameter.is_meta}

    def _shard_layers(self, name: str) -> None:
        """Shard a module's layers by the plan."""
        inside = {layer: style for layer, style in self.plan.items() if f"{layer}.".startswith(f"{name}.")}
        parallelize(self.module, self.mesh["tensor"], inside)

    def verify_sharding(self) -> dict[str, Any]:
        """Check that this stage has exactly its own parameters, and that they are sharded; return the figures for the run's record."""
        expected = {name for name in self.layout.names if self.layout.has(self.number, name)}
        if (actual := set(self.names.values())) != expected:
            message = f"pipeline stage {self.number} does not have its own parameters: {', '.join(sorted(actual ^ expected)[:3])}"
            raise SwiftError(message, code="PARALLEL-048", where="parallel", hint="Please report this.")
        every = dict(self.module.named_parameters())
        held = {name: parameter for name, parameter in every.items() if not parameter.is_meta}
        check_placements(held.items(), self.plan)
        size = sum(shape.numel() * every[name].element_size() for name, shape in self.layout.shapes.items())
        model = {"engine": type(self.module).__name__, "model_bytes": size}
        return measure_placement(ParameterList(held.values())) | model | {"stage_blocks": self.layout.count // self.options.pipeline}

    def copies_of(self, parameter: Parameter) -> int:
        """All of the tensor dimension if the parameter is replicated over it, else one; twice that for a tied weight."""
        copies = self.options.tensor if placement_along(parameter, "tensor").is_replicate() else 1
        return copies * (2 if self._tied(parameter) else 1)

    def _tied(self, parameter: Parameter) -> bool:
        return self.tied_group is not None and self.names[id(parameter)] == f"{self.layout.embedding}.weight"

    def _tied_group(self) -> dist.ProcessGroup | None:
        """Create the pairs of first- and last-stage processes that hold the same shard of a tied weight; return this process's."""
        pairs = self.mesh.mesh[[0, -1]].flatten(1).T.tolist()
        groups = {rank: group for pair in pairs for group in (dist.new_group(pair),) for rank in pair}
        return groups.get(dist.get_rank())

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run the schedule's passes over all micro-batches."""
        self.module.train(train)
        padded = [micro.to(self.device) for micro in pad_micros(micros, self.options.pipeline)]
        self.stage.micros, self.stage.task = padded, task
        losses: list[Tensor] = []

        def scaled(loss: Tensor, _: Tensor) -> Tensor:
            losses.append(loss.detach())
            return loss * weight * self.scale.value

        schedule = _SCHEDULES[self.options.schedule](self._engine(padded[0]), len(padded), loss_fn=scaled, scale_grads=False)
        numbers = torch.arange(len(padded), device=self.device)
        inputs = [torch.cat([micro.input_ids for micro in padded])] if self.is_first else []
        if train:
            schedule.step(*inputs, target=numbers, return_outputs=False, number=numbers)
            self._reduce_tied()
        else:
            with torch.no_grad():
                schedule.eval(*inputs, target=numbers, return_outputs=False, number=numbers)
            for part in fsdp_modules(self.module):  # as a backward pass would have done
                part.reshard()
        return self.reduce(sum(loss.item() for loss in losses) * self.options.pipeline, "sum") * weight

    def _engine(self, micro: Micro) -> PipelineStage:
        size = self.layout.shapes[f"{self.layout.embedding}.weight"][1]
        states = torch.empty(*micro.input_ids.shape, size, dtype=self.dtype, device=self.device)
        return PipelineStage(
            self.stage, self.number, self.options.pipeline, self.device,
            input_args=micro.input_ids if self.is_first else states.clone().requires_grad_(),
            output_args=torch.empty((), device=self.device).requires_grad_() if self.is_last else states.clone().requires_grad_(),
            group=self.mesh["pipeline"].get_group(),
        )  # fmt: skip

    def _reduce_tied(self) -> None:
        """Sum the gradients of a tied weight over the first and the last stage."""
        for parameter in self.trainable:
            if self._tied(parameter) and parameter.grad is not None:
                dist.all_reduce(local(parameter.grad), group=self.tied_group)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield full parameters in main memory, broadcast by the stages that have them."""
        parameters = dict(self.module.named_parameters())
        group = self.mesh["pipeline"].get_group()
        for name, stage in self.layout.names.items():
            if names is None or name in names:
                local_weight = parameters[name].detach()
                if stage == self.number:
                    weight = full(local_weight)
                else:
                    weight = torch.empty(local_weight.shape, dtype=local_weight.dtype, device=self.device)
                dist.broadcast(weight, group=group, group_src=stage)
                yield name, weight.cpu()


def pad_micros(micros: Sequence[Micro], minimum: int) -> list[Micro]:
    """Pad micro-batches to the longest, and add empty ones up to a minimum number; padding has no loss weight, and no row attends to it."""
    longest = max(micro.input_ids.shape[1] for micro in micros)
    padded = []
    for micro in micros:
        refuse_media(micro)
        missing = longest - micro.input_ids.shape[1]
        positions = torch.cat([micro.position_ids, torch.arange(missing)[None]], 1)
        padded.append(replace(micro, input_ids=pad(micro.input_ids, (0, missing)), position_ids=positions))
    empty = padded[0].as_filler()
    return padded + [empty] * (minimum - len(padded))
