"""Cutting a model into the stages of a pipeline: each process keeps some of the blocks.

The rest is there by name alone, without weights, and passes on what it is given.

The model itself is called in every stage, so that whatever it does beside its blocks (masks, positions) is done everywhere. What a stage
receives takes the place of its first block's input, and its last block's output is what it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from swift_train.ranks import compute_dtype
from swift_train.sharding import blocks
from torch import nn
from transformers import PreTrainedModel

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor

_ELSE = "Use --parallel fsdp, which cuts any architecture."


class Layout:
    """Which stage has which parameter, by the names of the whole module."""

    def __init__(self, module: nn.Module, stages: int) -> None:
        self.stages, self.dtype = stages, compute_dtype(module)
        inside = set(blocks(module, ()))
        lists = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.ModuleList) and inside & set(part)]
        if len(lists) != 1 or len(lists[0][1]) % stages:
            count = len(lists[0][1]) if len(lists) == 1 else 0
            what = f"{count} blocks, which {stages} stages can't share evenly" if count else "blocks in other than one row"
            raise UsageError(f"the model has {what}", where="parallel.pipeline", hint=_ELSE)
        self.name, self.count = lists[0][0], len(lists[0][1])
        model: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
        name_of = {id(part): name for name, part in module.named_modules()}
        self.embedding = name_of[id(model.get_input_embeddings())]
        head = model.get_output_embeddings()
        self.tied = head is not None and head.weight is model.get_input_embeddings().weight
        self.names = {name: self.stage_of(name) for name, _ in module.named_parameters()}
        self.shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
        if not all(name.startswith((f"{self.name}.", *_ends(model, name_of))) for name in self.names):  # such as learned positions
            message = f"the architecture {type(model).__name__} has no plan for pipeline parallelism"
            raise UsageError(message, where="parallel.pipeline", hint=_ELSE)

    def has(self, stage: int, name: str) -> bool:
        """Whether a stage has a parameter: a tied head's is in the first and in the last one."""
        return self.stage_of(name) == stage or (self.tied and stage == self.stages - 1 and name.startswith(f"{self.embedding}."))

    def stage_of(self, name: str) -> int:
        """The first stage that has a parameter."""
        if name.startswith(f"{self.name}."):
            return int(name[len(self.name) + 1 :].partition(".")[0]) * self.stages // self.count
        return 0 if name.startswith(f"{self.embedding}.") else self.stages - 1

    def cut(
        self, module: nn.Module, stage: int, fill: Callable[[Iterable[Tensor]], None], divide: Callable[[str], None]
    ) -> list[nn.Module]:
        """Leave a stage's part of a module in place, and return its blocks.

        Args:
            fill: gives parameters their values, a block at a time.
            divide: cuts the layers of a block that stays, by its name.
        """
        own = []
        for index, block in enumerate(module.get_submodule(self.name).children()):
            fill(block.parameters())
            if index * self.stages // self.count == stage:
                divide(f"{self.name}.{index}")
                own.append(block)
            else:
                _leave_out(block, _first_input)
        embedding, last = module.get_submodule(self.embedding), stage == self.stages - 1
        outside = {name: part for name, part in module.named_modules() if part._parameters and not name.startswith(f"{self.name}.")}
        for part in outside.values():
            fill(part.parameters())
        for name, part in outside.items():
            if name == self.embedding and stage and not (self.tied and last):
                _leave_out(part, partial(_no_states, part.weight.shape[1], self.dtype))
            elif name != self.embedding and not last:
                _leave_out(part, _first_input, shared=not stage and part._parameters.get("weight") is embedding.weight)
        return own


def _ends(model: Any, name_of: Mapping[int, str]) -> list[str]:
    """Beginnings of the names of what is outside the blocks, by transformers' plan: an embedding before them, norm and head behind."""
    root = f"{name_of[id(model.base_model)]}.".lstrip(".")
    ends = [name_of[id(end)] for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None]
    return [*(f"{end}." for end in ends), *(f"{root}{name}." for name in model.base_model._pp_plan or ())]


def _leave_out(part: nn.Module, forward: Callable[..., Any], *, shared: bool = False) -> None:
    """Let a module hold nothing and compute something else. It stays where it is, since tuners look for their layers when they save.

    Args:
        shared: keep weights, which another module has too.
    """
    if not shared:
        part.requires_grad_(False).to("meta")
    part.forward = forward


def _first_input(states: Tensor, *_: Any, **__: Any) -> Tensor:
    return states


def _no_states(size: int, dtype: torch.dtype, ids: Tensor) -> Tensor:
    return torch.zeros((), dtype=dtype, device=ids.device).expand(*ids.shape, size)


class Stage(nn.Module):
    """What a pipeline's schedule calls: a stage's part of the passes over one of the step's micro-batches."""

    def __init__(self, module: nn.Module, first: nn.Module, last: nn.Module, *, begins: bool, ends: bool) -> None:
        super().__init__()
        self.module, self.begins, self.ends = module, begins, ends
        self.micros: Sequence[Micro] = ()
        self.task: LossTask
        self._received: Any = None
        self._sent: Any = None
        first.register_forward_pre_hook(self._receive, prepend=True, with_kwargs=True)  # before FSDP's, which watches what comes in
        last.register_forward_hook(self._send)

    def forward(self, states: Tensor, number: Tensor) -> Tensor:
        """Hidden states for the next stage; of the last stage, the micro-batch's loss."""
        micro = self.micros[int(number)]
        self._received = None if self.begins else states
        output = self.task.forward(self.module, micro)
        return self.task.loss(output, micro) if self.ends else self._sent

    def _receive(self, _: nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (inputs if self.begins else (self._received, *inputs[1:])), arguments

    def _send(self, _: nn.Module, __: Any, output: Any) -> None:
        self._sent = output
