"""megatron-core behind the Strategy contract: its layers and its groups of processes, in the one training loop.

- One process reads the model as transformers has it and gives the weights out, a few at a time; each puts its part of them into a
  GPTModel. What is written is gathered again by the same map, so that a checkpoint is one of transformers.
- The processes of a tensor group compute the same rows, and the same loss from whole logits, so that any task of the loop works.
- Gradients are added up over the copies once a step, before they are clipped.
- Weights that learn are float32; where the loaded ones are bfloat16, the passes use rounded copies of them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist
from swift_train.loading import give_out, load_once
from swift_train.ranks import narrowest, rank_and_size, rank_device, reduced
from swift_train.strategy import Update
from swift_train.training_state import set_rate, settings_of
from torch import nn

from swift_core.errors import UsageError
from swift_plugin_megatron import groups, state
from swift_plugin_megatron.check import unmet
from swift_plugin_megatron.gradients import Learned, add_up, norm
from swift_plugin_megatron.layout import Heads, cut_dimension
from swift_plugin_megatron.maps import architectures
from swift_plugin_megatron.masters import Masters
from swift_plugin_megatron.model import Stage, megatron_config
from swift_plugin_megatron.pipeline import Pipeline
from swift_plugin_megatron.proof import prove
from swift_plugin_megatron.sizes import misfits, sizes_of
from swift_plugin_megatron.slots import HEAD, Slot, Stages, slots_of
from swift_plugin_megatron.transfer import Transfer

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_core.specs import Problem
    from swift_plugin_megatron.options import MegatronOptions


class MegatronStrategy:
    """`swift_train.strategy.Strategy` over megatron-core's GPTModel."""

    fixed_shapes = False

    def __init__(self, options: MegatronOptions) -> None:
        self.options = options
        rank, processes = rank_and_size()
        _refuse(misfits(options, processes, {}))  # processes may be others than the run's
        self.sizes = sizes_of(options, processes)
        self.data_rank, self.data_size = self.sizes.data_rank(rank), self.sizes.data
        self.writer = rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load, cut, prove that it is cut, and make the optimizer."""
        groups.start(self.device, self.sizes, self.options.timeout)
        module, readers = load_once(load, self.device)
        self.dtype = narrowest(module)
        self._place(module)
        self.engine = nn.ModuleList([self.stage])
        self.proof = prove(self.stage, self.sizes, [slot for slot in self.slots if self._here(slot)], self.transfer, self.dtypes)
        self.proof["read_by"] = readers
        self.optimizer = optimizer(self.engine)
        self.settings = settings_of(self.optimizer)
        self.masters = Masters(self.stage, self.dtype)
        self.masters.publish()
        self.learned = [self._learned(slot) for slot in self.slots if self._here(slot) and _key(slot) in self.masters.of]
        self.pipeline = Pipeline(self.stage, module.config.hidden_size, self.dtype, self.device)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Sum over the copies, or largest of all processes."""
        if op == "max":
            return reduced(x, op, self.device)
        total = torch.tensor(x, dtype=torch.float64, device=self.device)
        dist.all_reduce(total, group=groups.data())
        return total.item()

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Passes of a step through all stages."""
        self.engine.train(train)
        return self.reduce(self.pipeline.run(micros, task, weight, train=train, after=self.masters.collect), "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Add the gradients up, clip them by the norm over all parts, and step; one that is not finite is forgotten."""
        set_rate(self.optimizer, lr)
        add_up(self.learned)
        length = norm(self.learned, self.device)
        finite = bool(length.isfinite())
        if finite and clip:
            torch.nn.utils.clip_grads_with_norm_([item.parameter for item in self.learned], clip, length.float())
        if finite:
            self.optimizer.step()
            self.masters.publish()
        self.optimizer.zero_grad(set_to_none=True)
        return Update(length.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Whole weights under transformers' names; gathered one slot after the other."""
        for slot in self.slots:
            if slot.tied or not (names is None or any(name in names for name in slot.theirs)):
                continue
            part = self._weight(slot) if self._here(slot) else None
            for name, weight in self.transfer.whole(slot, part, self.dtypes[slot.theirs[0]]):
                if names is None or name in names:
                    yield name, weight.cpu() if self.writer else weight

    def save(self, folder: Path) -> None:
        """Each different part once, random states of every process."""
        state.save(folder, self)

    def load(self, folder: Path) -> None:
        """The inverse of `save`, on processes that are cut alike."""
        state.load(folder, self)

    def _place(self, module: Any) -> None:
        """Build this process's stage and put its weights into it; the loaded model keeps none."""
        config = module.config
        architecture = architectures()[config.model_type]
        _refuse([*unmet(architecture, config.to_dict()), *misfits(self.options, self.sizes.processes, config.to_dict())])
        theirs = dict(module.named_parameters())
        stages = Stages(config.num_hidden_layers, self.sizes.stages)
        self.number = dist.get_rank(groups.pipeline())
        self.slots = slots_of(architecture, theirs, stages)
        shapes = {name: weight.shape for name, weight in theirs.items()}
        self.dtypes = {name: torch.float32 if weight.requires_grad else weight.dtype for name, weight in theirs.items()}
        made = megatron_config(config, architecture, self.sizes, self.dtype)
        heads = Heads(made.num_attention_heads, made.num_query_groups, made.kv_channels)
        self.transfer = Transfer(self.sizes, heads, shapes, self.device)
        share = not any(slot.ours == HEAD for slot in self.slots)
        rotary = next(part for name, part in module.named_modules() if name.endswith("rotary_emb"))
        padding = getattr(module.get_input_embeddings(), "padding_idx", None)
        self.stage = Stage(config, made, rotary, first=self.number == 0, last=self.number == stages.last, share=share, padding=padding)
        for slot in sorted(self.slots, key=lambda slot: not slot.tied):  # a copy before the weights themselves, which are let go of
            give_out([theirs[name] for name in slot.theirs], self.device)
            if self._here(slot):
                self._put(slot, theirs)
            if not slot.tied:
                for name in slot.theirs:
                    theirs[name].data = theirs[name].data.new_empty(0)
        self.stage.to(self.device)

    def _put(self, slot: Slot, theirs: dict[str, nn.Parameter]) -> None:
        weight = self.stage.get_parameter(_key(slot))
        learn = {theirs[name].requires_grad for name in slot.theirs}
        if len(learn) > 1:
            hint = "Train or freeze them together, or use --parallel fsdp."
            message = f"{' and '.join(slot.theirs)} are one weight of megatron's, and only some of them would learn"
            raise UsageError(message, where="tuner", hint=hint)
        weight.requires_grad_(learn.pop())
        part = self.transfer.part(slot, {name: theirs[name].detach() for name in slot.theirs})
        weight.data = part.to(torch.float32 if weight.requires_grad else self.dtype, copy=True).contiguous()

    def _here(self, slot: Slot) -> bool:
        return slot.stage == self.number

    def _weight(self, slot: Slot) -> Tensor:
        key = _key(slot)
        return self.masters.of[key] if key in self.masters.of else self.stage.get_parameter(key)

    def _learned(self, slot: Slot) -> Learned:
        parameter = self.masters.of[_key(slot)]
        twice = any(other.tied for other in self.slots) and slot.theirs == next(other.theirs for other in self.slots if other.tied)
        whole = cut_dimension(slot.kind, parameter.ndim) is None
        copies = self.sizes.data * (self.sizes.tensor if whole else 1) * (2 if twice else 1)
        return Learned(parameter, copies, (groups.ends(), groups.data()) if twice else (groups.data(),))


def _refuse(problems: Iterable[Problem]) -> None:
    for problem in problems:
        raise UsageError(problem.message, where=problem.where, hint=problem.hint)


def _key(slot: Slot) -> str:
    return f"model.{slot.ours}"
