"""The model as this process holds it: its stages, with its parts of the weights in it, and the way back to whole weights."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.broadcast_loading import broadcast_parameters
from torch import nn

from swift_core.contract.errors import UsageError
from swift_plugin_megatron import groups, layout, lora
from swift_plugin_megatron.check import unmet
from swift_plugin_megatron.conversion import WeightConverter
from swift_plugin_megatron.gradients import Learned
from swift_plugin_megatron.layout import Heads
from swift_plugin_megatron.maps import architectures
from swift_plugin_megatron.model import Stage, megatron_config
from swift_plugin_megatron.placement import HEAD, Partition, Placement, place_weights
from swift_plugin_megatron.sizes import misfits

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from swift_core.contract.specs import Problem
    from swift_plugin_megatron.maps import Architecture
    from swift_plugin_megatron.options import MegatronOptions
    from swift_plugin_megatron.sizes import Sizes


class ShardedModel:
    """This process's stages of a model of transformers. The model that is given keeps no weights. Collective.

    Args:
        module: it, with its tuner, from `swift_train.broadcast_loading.load_on_first_rank`.
        dtype: what the passes are computed in.

    Raises:
        UsageError: megatron-core can't hold it, or not so.
    """

    def __init__(self, module: Any, options: MegatronOptions, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> None:
        config = module.config
        architecture = architectures()[config.model_type]
        refuse([*unmet(architecture, config.to_dict()), *misfits(options, sizes.processes, config.to_dict())])
        self.sizes, self.dtype = sizes, dtype
        self.number, self.share = dist.get_rank(groups.pipeline()), dist.get_rank(groups.experts())
        theirs: dict[str, Parameter] = dict(module.named_parameters())
        made = megatron_config(config, architecture, sizes, dtype)
        places = Partition(config.num_hidden_layers, sizes.stages, made.num_moe_experts or 0, sizes.expert)
        slots = _base_slots(architecture, theirs, places)
        pairs = lora.pairs_of(module, slots)
        self.slots = [*slots, *lora.slots_with(slots, pairs)]
        _check_learned(self.slots, theirs, places)
        self.dtypes = {name: torch.float32 if weight.requires_grad else weight.dtype for name, weight in theirs.items()}
        heads = Heads(made.num_attention_heads, made.num_query_groups, made.kv_channels)
        self.transfer = WeightConverter(sizes, heads, {name: weight.shape for name, weight in theirs.items()}, device)
        rotary = next(part for name, part in module.named_modules() if name.endswith("rotary_emb"))
        share = not any(slot.ours == HEAD for slot in slots)
        padding = getattr(module.get_input_embeddings(), "padding_idx", None)
        self.stages = nn.ModuleList()
        for chunk in range(sizes.chunks):
            number = chunk * sizes.pipeline + self.number
            ends = {"first": number == 0, "last": number == places.last}
            self.stages.append(Stage(config, made, rotary, chunk=chunk, cut=sizes.sequence, **ends, share=share, padding=padding))
        for slot in slots:
            if self.holds(slot) and not slot.tied:
                lora.attach(self.stages.get_submodule(self.key(slot).rpartition(".")[0]), slot, pairs, self.transfer.heads)
        if getattr(module, "is_activation_checkpointing", False):
            for stage in self.stages:
                stage.recompute()
        self._fill(theirs, device)

    @property
    def here(self) -> list[Placement]:
        """The slots that this process has a part of."""
        return [slot for slot in self.slots if self.holds(slot)]

    def holds(self, slot: Placement) -> bool:
        """Whether this process has a part of a slot."""
        return slot.stage % self.sizes.pipeline == self.number and slot.share in (None, self.share)

    def key(self, slot: Placement) -> str:
        """The name of a slot's weight in `stages`."""
        return f"{slot.stage // self.sizes.pipeline}.model.{slot.ours}"

    def whole(self, part: Callable[[str], Tensor], names: Container[str] | None) -> Iterator[tuple[str, Tensor]]:
        """Whole weights under transformers' names, those of a slot at a time. Collective.

        Args:
            part: this process's part, by its name in `stages`.
        """
        for theirs, slots in _bundles(slot for slot in self.slots if not slot.tied):
            if names is None or any(name in names for name in theirs):
                parts = [part(self.key(slot)) for slot in slots if self.holds(slot)]
                for name, weight in self.transfer.whole(slots[0], parts, self.dtypes[theirs[0]]):
                    if names is None or name in names:
                        yield name, weight

    def learned(self, slot: Placement, parameter: Parameter) -> Learned:
        """How a weight's gradient is added up and counted."""
        if slot.share is not None:
            return Learned(parameter, self.sizes.processes // self.sizes.pipeline // self.sizes.expert, (groups.copies_of_experts(),))
        twice = any(other.tied and other.theirs == slot.theirs for other in self.slots)
        everywhere = layout.cut_dimension(slot.kind, parameter.ndim) is None
        copies = self.sizes.copies * (self.sizes.tensor if everywhere else 1) * (2 if twice else 1)
        shares = everywhere and (self.sizes.sequence or slot.kind == "heads")  # of some tokens alone, or of some heads
        over = [*([groups.tensor()] if shares else []), *([groups.ends()] if twice else []), groups.copies()]
        return Learned(parameter, copies, tuple(over))

    def _fill(self, theirs: dict[str, Parameter], device: torch.device) -> None:
        """Put the weights in, those of a slot at a time; a tied copy first, since what was given out is let go of."""
        for names, slots in _bundles(sorted(self.slots, key=lambda slot: not slot.tied)):
            broadcast_parameters([theirs[name] for name in names], device)
            for slot in slots:
                if self.holds(slot):
                    self._put(slot, theirs)
            if not slots[0].tied:
                for name in names:
                    theirs[name].data = theirs[name].data.new_empty(0)
        self.stages.to(device)

    def _put(self, slot: Placement, theirs: dict[str, Parameter]) -> None:
        weight = self.stages.get_parameter(self.key(slot))
        weight.requires_grad_(theirs[slot.theirs[0]].requires_grad)
        part = self.transfer.part(slot, {name: theirs[name].detach() for name in slot.theirs})
        weight.data = part.to(torch.float32 if weight.requires_grad else self.dtype, copy=True).contiguous()


def refuse(problems: Iterable[Problem]) -> None:
    """Raise the first, as a UsageError."""
    for problem in problems:
        raise UsageError(problem.message, where=problem.where, hint=problem.hint)


def _base_slots(architecture: Architecture, theirs: Iterable[str], places: Partition) -> list[Placement]:
    """The slots of the model's own weights, under the names that they have with an adapter on it."""
    base = {lora.plain(name): name for name in theirs if not lora.is_adapters(name)}
    return [replace(slot, theirs=tuple(base[name] for name in slot.theirs)) for slot in place_weights(architecture, base, places)]


def _bundles(slots: Iterable[Placement]) -> Iterator[tuple[tuple[str, ...], list[Placement]]]:
    """Slots of the same weights of transformers (the experts of a layer) together."""
    for (theirs, _), found in groupby(slots, key=lambda slot: (slot.theirs, slot.tied)):
        yield theirs, list(found)


def _check_learned(slots: Iterable[Placement], theirs: dict[str, Parameter], places: Partition) -> None:
    learning = set()
    for slot in slots:
        learn = {theirs[name].requires_grad for name in slot.theirs}
        if len(learn) > 1:
            message = f"{' and '.join(map(lora.plain, slot.theirs))} are one weight of megatron's, and only some of them would learn"
            raise UsageError(message, where="tuner", hint="Train or freeze them together, or use --parallel fsdp.")
        if learn == {True}:
            learning.add(slot.stage)
    if idle := [stage for stage in range(places.stages) if stage not in learning]:
        hint = "Train layers of every stage, or use a smaller --parallel.pipeline."
        raise UsageError(f"nothing learns in stage {idle[0] + 1} of {places.stages} of the pipeline", where="tuner", hint=hint)
