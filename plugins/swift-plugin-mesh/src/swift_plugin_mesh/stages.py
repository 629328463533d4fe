"""Divide a model into pipeline stages: each process keeps some of the blocks.

The other modules stay in place by name, without weights, and pass their input through.

The whole model is called in every stage, so that whatever it does outside its blocks (masks, positions) happens everywhere. What a stage
receives replaces its first block's input, and its last block's output is what it sends.
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

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor

_HINT = "Use --parallel fsdp, which shards any architecture."


class Layout:
    """The assignment of parameters to stages, by their names in the whole module.

    Raises:
        UsageError: the blocks do not divide evenly, or the architecture has no pipeline plan in transformers.
    """

    def __init__(self, module: nn.Module, stages: int) -> None:
        self.stages, self.dtype = stages, compute_dtype(module)
        inside = set(blocks(module, ()))
        lists = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.ModuleList) and inside & set(part)]
        if len(lists) != 1 or len(lists[0][1]) % stages:
            count = len(lists[0][1]) if len(lists) == 1 else 0
            what = f"{count} blocks, which {stages} stages do not divide" if count else "no single list of blocks"
            raise UsageError(f"the model has {what}", code="PARALLEL-054", where="parallel.pipeline", hint=_HINT)
        self.name, self.count = lists[0][0], len(lists[0][1])
        model: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
        names = {id(part): name for name, part in module.named_modules()}
        self.embedding = names[id(model.get_input_embeddings())]
        head = model.get_output_embeddings()
        self.tied = head is not None and head.weight is model.get_input_embeddings().weight
        self.names = {name: self.stage_of(name) for name, _ in module.named_parameters()}
        self.shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
        if not all(name.startswith((f"{self.name}.", *_outer_prefixes(model, names))) for name in self.names):
            message = f"the architecture {type(model).__name__} has no plan for pipeline parallelism"
            raise UsageError(message, code="PARALLEL-055", where="parallel.pipeline", hint=_HINT)

    def has(self, stage: int, name: str) -> bool:
        """Return whether a stage has a parameter; a tied head's is in the first and the last one."""
        return self.stage_of(name) == stage or (self.tied and stage == self.stages - 1 and name.startswith(f"{self.embedding}."))

    def stage_of(self, name: str) -> int:
        """Return the first stage that has a parameter."""
        if name.startswith(f"{self.name}."):
            return int(name[len(self.name) + 1 :].partition(".")[0]) * self.stages // self.count
        return 0 if name.startswith(f"{self.embedding}.") else self.stages - 1

    def keep_stage(
        self, module: nn.Module, stage: int, fill: Callable[[Iterable[Tensor]], None], shard_block: Callable[[str], None]
    ) -> list[nn.Module]:
        """Remove everything but a stage's part from a module, in place, and return the stage's blocks.

        Args:
            fill: loads the values of parameters, a block at a time.
            shard_block: shards the layers of a block of this stage, by its name.
        """
        kept = []
        for index, block in enumerate(module.get_submodule(self.name).children()):
            fill(block.parameters())
            if index * self.stages // self.count == stage:
                shard_block(f"{self.name}.{index}")
                kept.append(block)
            else:
                _remove(block, _pass_through)
        embedding, last = module.get_submodule(self.embedding), stage == self.stages - 1
        outside = {name: part for name, part in module.named_modules() if part._parameters and not name.startswith(f"{self.name}.")}
        for part in outside.values():
            fill(part.parameters())
        for name, part in outside.items():
            if name == self.embedding and stage and not (self.tied and last):
                _remove(part, partial(_placeholder, part.weight.shape[1], self.dtype))
            elif name != self.embedding and not last:
                _remove(part, _pass_through, shared=not stage and part._parameters.get("weight") is embedding.weight)
        return kept


def _outer_prefixes(model: Any, names: Mapping[int, str]) -> list[str]:
    """Name prefixes of the modules outside the blocks, by transformers' pipeline plan: the embedding before them, norm and head after."""
    root = f"{names[id(model.base_model)]}.".lstrip(".")
    ends = [names[id(end)] for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None]
    return [*(f"{end}." for end in ends), *(f"{root}{name}." for name in model.base_model._pp_plan or ())]


def _remove(part: nn.Module, forward: Callable[..., Any], *, shared: bool = False) -> None:
    """Drop a module's weights and replace its forward pass. The module stays, since tuners look up their layers when they save.

    Args:
        shared: keep the weights, because a module of this stage shares them.
    """
    if not shared:
        part.requires_grad_(False).to("meta")
    part.forward = forward


def _pass_through(states: Tensor, *_: Any, **__: Any) -> Tensor:
    return states


def _placeholder(size: int, dtype: torch.dtype, ids: Tensor) -> Tensor:
    return torch.zeros((), dtype=dtype, device=ids.device).expand(*ids.shape, size)


class Stage(nn.Module):
    """The module that a pipeline schedule calls: one stage's pass over one micro-batch of the step."""

    def __init__(self, module: nn.Module, first: nn.Module, last: nn.Module, *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        self.module, self.is_first, self.is_last = module, is_first, is_last
        self.micros: Sequence[Micro] = ()
        self.task: ForwardLoss
        self._received: Any = None
        self._sent: Any = None
        first.register_forward_pre_hook(self._receive, prepend=True, with_kwargs=True)  # before FSDP's hook, which inspects inputs
        last.register_forward_hook(self._send)

    def forward(self, states: Tensor, number: Tensor) -> Tensor:
        """Return the hidden states (1, tokens, width) for the next stage, or the micro-batch's loss in the last stage."""
        micro = self.micros[int(number)]
        self._received = None if self.is_first else states
        output = self.task.forward(self.module, micro)
        return self.task.loss(output, micro) if self.is_last else self._sent

    def _receive(self, _: nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (inputs if self.is_first else (self._received, *inputs[1:])), arguments

    def _send(self, _: nn.Module, __: Any, output: Any) -> None:
        self._sent = output
