"""LoRA on megatron-core's sharded layers, equivalent to PEFT's: one adapter each for q, k, v, gate and up, which are fused layers here.

With a column-parallel layer, A is replicated and B is sharded as the layer; with a row-parallel layer, A is sharded and B replicated. What
is communicated therefore has the width of the LoRA rank, also with sequence parallelism. Dropout draws the same mask as PEFT, however layer
and tokens are sharded; if tokens are padded to be sharded, it draws for the padding too.
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

from swift_core.contract import UsageError
from swift_plugin_megatron import groups, layout
from swift_plugin_megatron.collectives import equal_counts, gather_tokens, scatter_tokens
from swift_plugin_megatron.sequence_parallel import ColumnLinear, RowLinear

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_plugin_megatron.layout import Heads
    from swift_plugin_megatron.maps import Kind
    from swift_plugin_megatron.placement import Placement

_PEFT_PREFIX, _BASE_LAYER = "base_model.model.", ".base_layer."


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """An adapter of PEFT: names of its weights A and B, scale, dropout probability."""

    a: str
    b: str
    scale: float
    dropout: float


def base_name(name: str) -> str:
    """Return a weight's name without PEFT's additions."""
    return name.removeprefix(_PEFT_PREFIX).replace(_BASE_LAYER, ".")


def is_adapter_weight(name: str) -> bool:
    """Return whether a parameter of a PEFT model belongs to an adapter or to a module in `modules_to_save`."""
    return any(part.startswith("lora_") or part == "modules_to_save" for part in name.split("."))


def find_adapters(module: Module, placements: Sequence[Placement]) -> Mapping[str, LoraWeights]:
    """Return the adapter of each weight that has one, by the weight's name in the module.

    Raises:
        UsageError: the module has adapters that a sharded layer does not support.
    """
    found: dict[str, LoraWeights] = {}
    for placement in placements:
        for name in placement.hf_names:
            if _BASE_LAYER in name and placement.kind in ("column", "row", "gated", "qkv") and name.endswith(".weight"):
                found[name] = _lora_weights(name.split(_BASE_LAYER)[0], module)
    known = {name for adapter in found.values() for name in (adapter.a, adapter.b)}
    if unsupported := [name for name, _ in module.named_parameters() if is_adapter_weight(name) and name not in known]:
        message = (
            f"megatron does not support the adapter weight {unsupported[0].removeprefix(_PEFT_PREFIX)} (and {len(unsupported) - 1} more)"
        )
        raise UsageError(
            message,
            code="PARALLEL-024",
            where="tuner",
            hint="Use plain LoRA on the linear layers of attention and MLP, or --parallel fsdp.",
        )
    return found


def adapter_placements(placements: Sequence[Placement], adapters: Mapping[str, LoraWeights]) -> list[Placement]:
    """Return the placements of the adapters' weights."""
    found = []
    for placement in placements:
        a_kind: Kind
        b_kind: Kind
        a_kind, b_kind = ("row", "copy") if placement.kind == "row" else ("copy", "column")
        for name in placement.hf_names:
            if adapter := adapters.get(name):
                prefix = f"{placement.mcore_name.removesuffix('.weight')}.adapters.{_module_name(name)}"
                found.append(replace(placement, hf_names=(adapter.a,), mcore_name=f"{prefix}.lora_A", kind=a_kind))
                found.append(replace(placement, hf_names=(adapter.b,), mcore_name=f"{prefix}.lora_B", kind=b_kind))
    return found


def attach(linear: Module, placement: Placement, adapters: Mapping[str, LoraWeights], heads: Heads) -> None:
    """Add adapters, with empty weights, to a sharded layer; their outputs are added to the layer's."""
    if not any(name in adapters for name in placement.hf_names):
        return
    linear.adapters = Adapters(placement, adapters, heads, sequence_parallel=isinstance(linear, ColumnLinear | RowLinear))

    def add(module: Any, inputs: tuple[Tensor], output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        return output[0] + module.adapters(inputs[0], output[0]), output[1]

    linear.register_forward_hook(add)


class Adapters(nn.Module):
    """The adapters of one fused layer.

    Args:
        heads: those of this process.
        sequence_parallel: whether the layer all-gathers or reduce-scatters tokens.
    """

    def __init__(self, placement: Placement, adapters: Mapping[str, LoraWeights], heads: Heads, *, sequence_parallel: bool) -> None:
        super().__init__()
        self.kind, self.heads, self.names = placement.kind, heads, [_module_name(name) for name in placement.hf_names]
        for name in placement.hf_names:
            if adapter := adapters.get(name):
                self.add_module(_module_name(name), Adapter(adapter, placement.kind, sequence_parallel=sequence_parallel))

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Return what the adapters add to the layer's `output`, in its shape."""
        if self.kind == "row":
            result: Tensor = self.get_submodule(self.names[0])(inputs)
            return result
        outputs = [self.get_submodule(name)(inputs) if hasattr(self, name) else None for name in self.names]
        sizes = layout.fused_sizes(output.shape[-1], self.kind, self.heads, len(outputs))
        full = [output.new_zeros(*output.shape[:-1], size) if part is None else part for part, size in zip(outputs, sizes, strict=True)]
        return layout.fuse([part.movedim(-1, 0) for part in full], self.kind, self.heads).movedim(0, -1)


class Adapter(nn.Module):
    """One adapter: scale × B A dropout(inputs)."""

    def __init__(self, adapter: LoraWeights, kind: Kind, *, sequence_parallel: bool) -> None:
        super().__init__()
        self.row_parallel, self.sequence_parallel = kind == "row", sequence_parallel
        self.scale, self.dropout = adapter.scale, adapter.dropout
        self.lora_A, self.lora_B = nn.Parameter(torch.empty(0)), nn.Parameter(torch.empty(0))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return this process's shard of the adapter's output."""
        group = groups.tensor()
        low_rank = self._communicate(functional.linear(self._drop(inputs, group), self.lora_A), group)
        return functional.linear(low_rank, self.lora_B) * self.scale

    def _communicate(self, low_rank: Tensor, group: dist.ProcessGroup) -> Tensor:
        if not self.sequence_parallel:
            communicate = reduce_from_tensor_model_parallel_region if self.row_parallel else copy_to_tensor_model_parallel_region
            result: Tensor = communicate(low_rank, group=group)
            return result
        if self.row_parallel:
            return scatter_tokens(low_rank, equal_counts(len(low_rank) // group.size(), group), group)
        return gather_tokens(low_rank, equal_counts(len(low_rank), group), group)

    def _drop(self, inputs: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Apply this process's shard of the dropout mask of all tokens and features."""
        if not self.training or not self.dropout:
            return inputs
        token_shards, token_shard = groups.context().size(), groups.context().rank()
        if self.sequence_parallel and not self.row_parallel:
            token_shards, token_shard = token_shards * group.size(), token_shard * group.size() + group.rank()
        feature_shards, feature_shard = (group.size(), group.rank()) if self.row_parallel else (1, 0)
        full = inputs.new_ones(inputs.shape[0] * token_shards, *inputs.shape[1:-1], inputs.shape[-1] * feature_shards)
        return inputs * functional.dropout(full, self.dropout).chunk(token_shards)[token_shard].chunk(feature_shards, -1)[feature_shard]


def _lora_weights(path: str, module: Module) -> LoraWeights:
    layer: Any = module.get_submodule(path)
    name = layer.active_adapters[0]
    if len(layer.active_adapters) > 1 or getattr(layer, "lora_variant", {}).get(name) or getattr(layer, "lora_bias", {}).get(name):
        raise UsageError(
            "megatron supports a single plain LoRA adapter only",
            code="PARALLEL-025",
            where="tuner",
            hint="Use --tuner lora, or --parallel fsdp.",
        )
    return LoraWeights(
        a=f"{path}.lora_A.{name}.weight",
        b=f"{path}.lora_B.{name}.weight",
        scale=layer.scaling[name],
        dropout=getattr(layer.lora_dropout[name], "p", 0.0),
    )


def _module_name(name: str) -> str:
    """Return the module's own name, such as `q_proj`, from a weight's name in a PEFT model."""
    return name.split(_BASE_LAYER, maxsplit=1)[0].rpartition(".")[2]
