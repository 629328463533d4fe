"""Pipeline × tensor × data: the blocks are dealt out to stages, which pass micro-batches on (`torch.distributed.pipelining`).

- A schedule needs micro-batches of one shape, so those of a step are filled up to the longest, behind their rows, where nothing sees it;
  and at least as many as stages, so empty ones are added.
- A stage's layers are cut by their plan, then every weight of it over the data dimension, as without stages. Hidden states are whole
  in each process of a stage, and go to the one with the same place in the next.
- A head that is tied to the embedding is in the first stage and in the last, and so are the sums of its gradients.
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
from swift_train.placement_report import measure_placement
from swift_train.sharding import fsdp_modules, shard
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.nn import ParameterList
from torch.nn.functional import pad

from swift_core.errors import SwiftError
from swift_plugin_mesh.base import MeshStrategy, gathered
from swift_plugin_mesh.gradients import local
from swift_plugin_mesh.stages import Layout, Stage
from swift_plugin_mesh.tensor_parallel import parallelize, plan_of
from swift_plugin_mesh.verification import along, check_places

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module, Parameter

_SCHEDULES = {"1f1b": Schedule1F1B, "gpipe": ScheduleGPipe}


class PipelineStrategy(MeshStrategy):
    """`swift_train.strategy.Strategy` over stages."""

    fixed_shapes = True

    def look(self, load: Callable[[torch.device], Module]) -> None:
        """Deal the blocks out, and find the plan of their layers."""
        module, size = load(torch.device("meta")), self.options.tensor
        self.layout = Layout(module, self.options.pipeline)
        self.plan = plan_of(module, size) if size > 1 else {}

    def place(self) -> None:
        """Keep this process's part of this stage's blocks."""
        self.number: int = self.mesh["pipeline"].get_local_rank()
        self.begins, self.ends = self.number == 0, self.number == self.options.pipeline - 1
        self.part = f"-stage-{self.number}-of-{self.options.pipeline}"  # its optimizer has groups of its own
        self.facts = f"mesh{self.part}.pt"
        self.twins = self._twins() if self.layout.tied else None
        own = self.layout.cut(self.module, self.number, partial(broadcast_parameters, device=self.device), self._divide)
        ends = (name for name in self.plan if not name.startswith(f"{self.layout.name}."))
        for name in ends:
            if self.layout.has(self.number, f"{name}.weight"):
                self._divide(name)
        shard(self.module, self.mesh["data"], self.dtype, units=own)
        self.stage = Stage(self.module, own[0], own[-1], begins=self.begins, ends=self.ends)
        self.names = {id(parameter): name for name, parameter in self.module.named_parameters() if not parameter.is_meta}

    def _divide(self, name: str) -> None:
        """Cut a module's layers by the plan."""
        inside = {layer: cut for layer, cut in self.plan.items() if f"{layer}.".startswith(f"{name}.")}
        parallelize(self.module, self.mesh["tensor"], inside)

    def verify_sharding(self) -> dict[str, Any]:
        """Each stage has its blocks and nothing of the others, in parts."""
        wanted = {name for name in self.layout.names if self.layout.has(self.number, name)}
        if (has := set(self.names.values())) != wanted:
            raise SwiftError(f"a stage has other weights than its own: {', '.join(sorted(has ^ wanted)[:3])}", where="parallel")
        every = dict(self.module.named_parameters())
        held = {name: parameter for name, parameter in every.items() if not parameter.is_meta}
        check_places(held.items(), self.plan)
        size = sum(shape.numel() * every[name].element_size() for name, shape in self.layout.shapes.items())
        shown = {"engine": type(self.module).__name__, "model_bytes": size}
        return measure_placement(ParameterList(held.values())) | shown | {"stage_blocks": self.layout.count // self.options.pipeline}

    def held_by(self, parameter: Parameter) -> int:
        """Those along the tensor dimension, where it is whole over that; of a tied weight those of both ends."""
        copies = self.options.tensor if along(parameter, "tensor").is_replicate() else 1
        return copies * (2 if self._tied(parameter) else 1)

    def _tied(self, parameter: Parameter) -> bool:
        return self.twins is not None and self.names[id(parameter)] == f"{self.layout.embedding}.weight"

    def _twins(self) -> dist.ProcessGroup | None:
        """The processes of both ends that have the same part of a tied weight, this one among them."""
        pairs = self.mesh.mesh[[0, -1]].flatten(1).T.tolist()
        groups = {rank: group for pair in pairs for group in (dist.new_group(pair),) for rank in pair}
        return groups.get(dist.get_rank())

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """A schedule's passes over all micro-batches."""
        self.module.train(train)
        filled = [micro.to(self.device) for micro in even(micros, self.options.pipeline)]
        self.stage.micros, self.stage.task = filled, task
        losses: list[Tensor] = []

        def scaled(loss: Tensor, _: Tensor) -> Tensor:
            losses.append(loss.detach())
            return loss * weight * self.scale.value

        schedule = _SCHEDULES[self.options.schedule](self._engine(filled[0]), len(filled), loss_fn=scaled, scale_grads=False)
        numbers = torch.arange(len(filled), device=self.device)
        inputs = [torch.cat([micro.input_ids for micro in filled])] if self.begins else []
        if train:
            schedule.step(*inputs, target=numbers, return_outputs=False, number=numbers)
            self._exchange()
        else:
            with torch.no_grad():
                schedule.eval(*inputs, target=numbers, return_outputs=False, number=numbers)
            for part in fsdp_modules(self.module):  # what a backward pass would have let go of
                part.reshard()
        return self.reduce(sum(loss.item() for loss in losses) * self.options.pipeline, "sum") * weight

    def _engine(self, micro: Micro) -> PipelineStage:
        size = self.layout.shapes[f"{self.layout.embedding}.weight"][1]
        states = torch.empty(*micro.input_ids.shape, size, dtype=self.dtype, device=self.device)
        return PipelineStage(
            self.stage, self.number, self.options.pipeline, self.device,
            input_args=micro.input_ids if self.begins else states.clone().requires_grad_(),
            output_args=torch.empty((), device=self.device).requires_grad_() if self.ends else states.clone().requires_grad_(),
            group=self.mesh["pipeline"].get_group(),
        )  # fmt: skip

    def _exchange(self) -> None:
        """Add the gradients of a tied weight's two ends up."""
        for parameter in self.learned:
            if self._tied(parameter) and parameter.grad is not None:
                dist.all_reduce(local(parameter.grad), group=self.twins)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Parameters whole, from the stages that have them."""
        own = dict(self.module.named_parameters())
        group = self.mesh["pipeline"].get_group()
        for name, stage in self.layout.names.items():
            if names is None or name in names:
                mine = own[name].detach()
                whole = gathered(mine) if stage == self.number else torch.empty(mine.shape, dtype=mine.dtype, device=self.device)
                dist.broadcast(whole, group=group, group_src=stage)
                yield name, whole.cpu()


def even(micros: Sequence[Micro], least: int) -> list[Micro]:
    """At least so many micro-batches, all as long as the longest: what is added weighs nothing, and no row sees it."""
    longest = max(micro.input_ids.shape[1] for micro in micros)
    found = []
    for micro in micros:
        more = longest - micro.input_ids.shape[1]
        positions = torch.cat([micro.position_ids, torch.arange(more)[None]], 1)
        found.append(replace(micro, input_ids=pad(micro.input_ids, (0, more)), position_ids=positions))
    empty = replace(found[0], weights=torch.zeros_like(found[0].weights))
    return found + [empty] * (least - len(found))
