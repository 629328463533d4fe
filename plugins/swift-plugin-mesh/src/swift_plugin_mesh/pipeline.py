"""Pipeline × data: the blocks are dealt out to stages, which pass micro-batches on (`torch.distributed.pipelining`).

- A schedule needs micro-batches of one shape, so those of a step are filled up to the longest, behind their rows, where nothing sees it;
  and at least as many as stages, so empty ones are added.
- The data dimension has whole copies of each stage, whose gradients are added up once a step.
- A head that is tied to the embedding is in the first stage and in the last, and so are the sums of its gradients.
Method: Huang et al. 2019, https://arxiv.org/abs/1811.06965 (gpipe); Narayanan et al. 2021, https://arxiv.org/abs/2104.04473 (1f1b)
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.loading import give_out
from swift_train.proof import spread
from swift_train.ranks import load_random_states, narrowest, save_random_states
from swift_train.training_state import load_optimizer, load_weights, save_tensors
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.nn import ParameterList
from torch.nn.functional import pad

from swift_core.errors import SwiftError, UsageError
from swift_plugin_mesh.base import MeshStrategy
from swift_plugin_mesh.stages import Layout, Stage

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
        """Deal the blocks out."""
        module = load(torch.device("meta"))
        if narrowest(module) != torch.float32:
            raise UsageError("pipeline stages compute in float32 here", where="dtype", hint="Use --dtype float32, or --parallel fsdp.")
        self.layout = Layout(module, self.options.pipeline)

    def place(self) -> None:
        """Keep this stage's blocks."""
        self.number: int = self.mesh["pipeline"].get_local_rank()
        self.begins, self.ends = self.number == 0, self.number == self.options.pipeline - 1
        ranks = self.mesh.mesh[[0, -1], :, 0].T.tolist()
        groups = [dist.new_group(pair) for pair in ranks] if self.layout.tied else []
        self.twins = groups[self.data_rank] if groups and (self.begins or self.ends) else None
        first, last = self.layout.cut(self.module, self.number, partial(give_out, device=self.device))
        self.module._apply(lambda tensor: tensor if tensor.is_meta else tensor.to(self.device))  # type: ignore[no-untyped-call]
        self.stage = Stage(self.module, first, last, begins=self.begins, ends=self.ends)
        self.names = {id(parameter): name for name, parameter in self.module.named_parameters() if not parameter.is_meta}

    def prove(self) -> dict[str, Any]:
        """Each stage has its blocks and nothing of the others."""
        wanted = {name for name, stage in self.layout.names.items() if stage == self.number}
        if self.ends and self.layout.tied:
            wanted.add(f"{self.layout.embedding}.weight")
        if (has := set(self.names.values())) != wanted:
            raise SwiftError(f"a stage has other weights than its own: {', '.join(sorted(has ^ wanted)[:3])}", where="parallel")
        size = sum(shape.numel() for shape in self.layout.shapes.values())
        held = ParameterList(parameter for parameter in self.module.parameters() if not parameter.is_meta)
        shown = {"engine": type(self.module).__name__, "model_bytes": 4 * size}
        return spread(held) | shown | {"stage_blocks": self.layout.count // self.options.pipeline}

    def held_by(self, parameter: Parameter) -> int:
        """The data dimension's copies, and of a tied weight those of both ends."""
        return self.data_size * (2 if self._tied(parameter) else 1)

    def _tied(self, parameter: Parameter) -> bool:
        return self.twins is not None and self.names[id(parameter)] == f"{self.layout.embedding}.weight"

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """A schedule's passes over all micro-batches."""
        self.module.train(train)
        filled = [micro.to(self.device) for micro in even(micros, self.options.pipeline)]
        self.stage.micros, self.stage.task = filled, task
        losses: list[Tensor] = []

        def scaled(loss: Tensor, _: Tensor) -> Tensor:
            losses.append(loss.detach())
            return loss * weight

        schedule = _SCHEDULES[self.options.schedule](self._engine(filled[0]), len(filled), loss_fn=scaled, scale_grads=False)
        numbers = torch.arange(len(filled), device=self.device)
        inputs = [torch.cat([micro.input_ids for micro in filled])] if self.begins else []
        if train:
            schedule.step(*inputs, target=numbers, return_outputs=False, number=numbers)
            self._exchange()
        else:
            with torch.no_grad():
                schedule.eval(*inputs, target=numbers, return_outputs=False, number=numbers)
        return self.reduce(sum(loss.item() for loss in losses) * self.options.pipeline, "sum") * weight

    def _engine(self, micro: Micro) -> PipelineStage:
        size = self.layout.shapes[f"{self.layout.embedding}.weight"][1]
        states = torch.empty(*micro.input_ids.shape, size, device=self.device)
        return PipelineStage(
            self.stage, self.number, self.options.pipeline, self.device,
            input_args=micro.input_ids if self.begins else states.clone().requires_grad_(),
            output_args=torch.empty((), device=self.device).requires_grad_() if self.ends else states.clone().requires_grad_(),
            group=self.mesh["pipeline"].get_group(),
        )  # fmt: skip

    def _exchange(self) -> None:
        """Add gradients up: over the copies of a stage, and over the two of a tied weight."""
        for parameter in self.learned:
            if parameter.grad is not None:
                if self.data_size > 1:
                    dist.all_reduce(parameter.grad, group=self.mesh["data"].get_group())
                if self._tied(parameter):
                    dist.all_reduce(parameter.grad, group=self.twins)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Parameters as their stages have them."""
        own = dict(self.module.named_parameters())
        group = self.mesh["pipeline"].get_group()
        for name, stage in self.layout.names.items():
            if names is None or name in names:
                mine = stage == self.number
                whole = own[name].detach() if mine else torch.empty(self.layout.shapes[name], device=self.device)
                dist.broadcast(whole, group=group, group_src=stage)
                yield name, whole.cpu()

    def save(self, folder: Path) -> None:
        """One file a stage, and each process its random states."""
        save_random_states(folder, self.device)
        if self.data_rank == 0:
            learned = {self.names[id(parameter)]: parameter.detach() for parameter in self.learned}
            facts = {"weights": learned, "optimizer": self.optimizer.state_dict(), "settings": self.settings}
            save_tensors(folder / f"stage-{self.number}-of-{self.options.pipeline}.pt", facts)

    def load(self, folder: Path) -> None:
        """The inverse of `save`, on as many stages."""
        file = folder / f"stage-{self.number}-of-{self.options.pipeline}.pt"
        if not file.is_file():
            raise SwiftError(
                f"this checkpoint is not of {self.options.pipeline} stages", where=str(folder), hint="Resume with the mesh that wrote it."
            )
        facts = torch.load(file, map_location="cpu", weights_only=True)
        load_weights(self.module, facts["weights"])
        load_optimizer(self.optimizer, facts["optimizer"], facts["settings"], self.settings)
        load_random_states(folder, self.device)


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
