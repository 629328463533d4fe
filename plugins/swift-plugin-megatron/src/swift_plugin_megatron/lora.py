"""LoRA on megatron-core's cut layers, as PEFT has it: an adapter for each of q, k, v, gate and up, though each few are one layer here.

Of a layer that is cut by outputs, A is whole and B is cut like the layer; of one that is cut by inputs, A is cut and B whole. So what
crosses between the processes is as narrow as the rank, where tokens are exchanged (`sequence`) too. Dropout draws what PEFT would draw,
however layer and tokens are cut; where tokens are filled up to be cut, it draws for the filling too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from megatron.core.tensor_parallel.mappings import copy_to_tensor_model_parallel_region, reduce_from_tensor_model_parallel_region
from torch import nn
from torch.nn import functional

from swift_core.contract.errors import UsageError
from swift_plugin_megatron import groups, layout
from swift_plugin_megatron.collectives import even, gather_rows, scatter_rows
from swift_plugin_megatron.sequence_parallel import Column, Row

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_plugin_megatron.layout import Heads
    from swift_plugin_megatron.maps import Kind
    from swift_plugin_megatron.placement import Placement

_WRAPPED, _LAYER = "base_model.model.", ".base_layer."


@dataclass(frozen=True, slots=True)
class Pair:
    """An adapter as PEFT has it: names of its weights, scale, dropout."""

    lower: str
    upper: str
    scale: float
    dropout: float


def plain(name: str) -> str:
    """The name that a weight has without PEFT."""
    return name.removeprefix(_WRAPPED).replace(_LAYER, ".")


def is_adapters(name: str) -> bool:
    """Whether a parameter of a PEFT model belongs to an adapter, or to a module that is trained whole beside it."""
    return any(part.startswith("lora_") or part == "modules_to_save" for part in name.split("."))


def pairs_of(module: Module, slots: Sequence[Placement]) -> Mapping[str, Pair]:
    """The adapter of each weight that has one, by the weight's name in the module.

    Raises:
        UsageError: the module has adapters that can't be on a cut layer.
    """
    found: dict[str, Pair] = {}
    for slot in slots:
        for name in slot.theirs:
            if _LAYER in name and slot.kind in ("column", "row", "gated", "qkv") and name.endswith(".weight"):
                found[name] = _pair(name.split(_LAYER)[0], module)
    known = {weight for pair in found.values() for weight in (pair.lower, pair.upper)}
    if strange := [name for name, _ in module.named_parameters() if is_adapters(name) and name not in known]:
        message = f"megatron's layers can't have {strange[0].removeprefix(_WRAPPED)}, and {len(strange) - 1} more such weights of adapters"
        raise UsageError(message, where="tuner", hint="Use plain LoRA on the linear layers of attention and MLP, or --parallel fsdp.")
    return found


def slots_with(slots: Sequence[Placement], pairs: Mapping[str, Pair]) -> list[Placement]:
    """Slots of the adapters' weights."""
    found = []
    for slot in slots:
        for name in slot.theirs:
            if pair := pairs.get(name):
                where = f"{slot.ours.removesuffix('.weight')}.adapters.{_part(name)}"
                lower, upper = ("row", "copy") if slot.kind == "row" else ("copy", "column")
                found.append(replace(slot, theirs=(pair.lower,), ours=f"{where}.lora_A", kind=lower))
                found.append(replace(slot, theirs=(pair.upper,), ours=f"{where}.lora_B", kind=upper))
    return found


def attach(linear: Module, slot: Placement, pairs: Mapping[str, Pair], heads: Heads) -> None:
    """Put adapters on a cut layer, without their values: what it gives is then its own output and theirs."""
    if not any(name in pairs for name in slot.theirs):
        return
    linear.adapters = Adapters(slot, pairs, heads, exchanges=isinstance(linear, Column | Row))

    def add(module: Any, given: tuple[Tensor], output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        return output[0] + module.adapters(given[0], output[0]), output[1]

    linear.register_forward_hook(add)


class Adapters(nn.Module):
    """The adapters of one layer.

    Args:
        heads: those that this process has.
        exchanges: whether the layer gathers tokens, or ends with some of them.
    """

    def __init__(self, slot: Placement, pairs: Mapping[str, Pair], heads: Heads, *, exchanges: bool) -> None:
        super().__init__()
        self.kind, self.heads, self.names = slot.kind, heads, [_part(name) for name in slot.theirs]
        for name in slot.theirs:
            if pair := pairs.get(name):
                self.add_module(_part(name), Adapter(pair, slot.kind, exchanges=exchanges))

    def forward(self, given: Tensor, output: Tensor) -> Tensor:
        """What they add to the layer's `output`."""
        if self.kind == "row":
            found: Tensor = self.get_submodule(self.names[0])(given)
            return found
        shares = [self.get_submodule(name)(given) if hasattr(self, name) else None for name in self.names]
        sizes = layout.widths(output.shape[-1], self.kind, self.heads, len(shares))
        full = [output.new_zeros(*output.shape[:-1], size) if share is None else share for share, size in zip(shares, sizes, strict=True)]
        return layout.join([share.movedim(-1, 0) for share in full], self.kind, self.heads).movedim(0, -1)


class Adapter(nn.Module):
    """One adapter: scale × B A, of dropped-out inputs."""

    def __init__(self, pair: Pair, kind: Kind, *, exchanges: bool) -> None:
        super().__init__()
        self.by_inputs, self.exchanges, self.scale, self.dropout = kind == "row", exchanges, pair.scale, pair.dropout
        self.lora_A, self.lora_B = nn.Parameter(torch.empty(0)), nn.Parameter(torch.empty(0))

    def forward(self, given: Tensor) -> Tensor:
        """Its share of the layer's output."""
        group = groups.tensor()
        narrow = self._across(functional.linear(self._dropped(given, group), self.lora_A), group)
        return functional.linear(narrow, self.lora_B) * self.scale

    def _across(self, narrow: Tensor, group: dist.ProcessGroup) -> Tensor:
        if not self.exchanges:
            across = reduce_from_tensor_model_parallel_region if self.by_inputs else copy_to_tensor_model_parallel_region
            found: Tensor = across(narrow, group=group)
            return found
        if self.by_inputs:
            return scatter_rows(narrow, even(len(narrow) // group.size(), group), group)
        return gather_rows(narrow, even(len(narrow), group), group)

    def _dropped(self, given: Tensor, group: dist.ProcessGroup) -> Tensor:
        if not self.training or not self.dropout:
            return given
        tokens, token = groups.context().size(), groups.context().rank()  # which part of all tokens these are
        if self.exchanges and not self.by_inputs:
            tokens, token = tokens * group.size(), token * group.size() + group.rank()
        parts, part = (group.size(), group.rank()) if self.by_inputs else (1, 0)
        whole = given.new_ones(given.shape[0] * tokens, *given.shape[1:-1], given.shape[-1] * parts)
        return given * functional.dropout(whole, self.dropout).chunk(tokens)[token].chunk(parts, -1)[part]


def _pair(path: str, module: Module) -> Pair:
    layer: Any = module.get_submodule(path)
    name = layer.active_adapters[0]
    if len(layer.active_adapters) > 1 or getattr(layer, "lora_variant", {}).get(name) or getattr(layer, "lora_bias", {}).get(name):
        raise UsageError("megatron's layers take one plain LoRA adapter", where="tuner", hint="Use --tuner lora, or --parallel fsdp.")
    return Pair(
        lower=f"{path}.lora_A.{name}.weight",
        upper=f"{path}.lora_B.{name}.weight",
        scale=layer.scaling[name],
        dropout=getattr(layer.lora_dropout[name], "p", 0.0),
    )


def _part(name: str) -> str:
    """`q_proj` of a weight's name in a PEFT model."""
    return name.split(_LAYER, maxsplit=1)[0].rpartition(".")[2]
