"""Tensor parallelism: each layer's weights are sharded over processes that compute it together, on the same rows.

A column-parallel layer gives each process a part of the outputs, such as some attention heads; the row-parallel layer after it takes those
parts as its inputs, and partial sums are all-reduced. transformers defines the style of each layer per architecture (`tp_plan`); torch's
`parallelize_module` applies it. Method: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053

A LoRA adapter follows its layer: B is sharded with a column-parallel layer, A with a row-parallel one; the other matrix is replicated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import Placement, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module
from transformers import PreTrainedModel

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh


@dataclass(frozen=True, slots=True)
class ShardingStyle:
    """Placement of a layer's weight, inputs and outputs over the processes; inputs and outputs are sharded along the features."""

    dim: int | None  # sharded dimension of the weight: 0 column-parallel, 1 row-parallel; None: replicated, with partial gradients
    replicated_input: bool = True
    replicated_output: bool = True

    def torch_style(self, module: nn.Module) -> ParallelStyle:
        """Return torch's ParallelStyle for a module."""
        if self.dim is None:
            return _SummedGradient()
        inputs, outputs = (Replicate() if whole else Shard(-1) for whole in (self.replicated_input, self.replicated_output))
        column_parallel = (self.dim == 0) == isinstance(module, nn.Linear)  # dimension 0 is an embedding's rows, a linear layer's columns
        return (ColwiseParallel if column_parallel else RowwiseParallel)(input_layouts=inputs, output_layouts=outputs)

    def placement_of(self, parameter: str) -> Placement:
        """Return the placement of the `weight` or the `bias`."""
        if self.dim is None or (parameter == "bias" and self.dim == 1):
            return Replicate()
        return Shard(self.dim)


# by their names in transformers' `tp_plan`
_STYLES = {
    "colwise": ShardingStyle(0, replicated_output=False),
    "colwise_gather_output": ShardingStyle(0),
    "colwise_rep": ShardingStyle(0),
    "rowwise": ShardingStyle(1, replicated_input=False),
    "rowwise_split_input": ShardingStyle(1),
    "rowwise_rep": ShardingStyle(1),
    "replicated_with_grad_allreduce": ShardingStyle(None),
}


def plan_of(module: nn.Module, size: int) -> dict[str, ShardingStyle]:
    """Return the style of each layer to shard over `size` processes, by module name; every other layer is replicated.

    Raises:
        UsageError: the architecture has no plan, or one with an unsupported style.
    """
    model: Any
    root, model = next((name, part) for name, part in module.named_modules() if isinstance(part, PreTrainedModel))
    ends: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    plan: dict[str, ShardingStyle] = {}
    for name, part in model.named_modules(prefix=root):
        style = (model.tp_plan or {}).get(_with_wildcards(name.removeprefix(root).removeprefix(".")))
        if style is None or part in ends:
            continue
        if style not in _STYLES:
            raise _refusal(f"{type(model).__name__} has layers of the style {style}, which tensor parallelism does not support here")
        plan |= _layer(name, part, _STYLES[style])
    if not plan:
        raise _refusal(f"the architecture {type(model).__name__} has no plan for tensor parallelism")
    if all(type(end) in (nn.Embedding, nn.Linear) and end.weight.shape[0] % size == 0 for end in ends):
        plan |= {name: ShardingStyle(0) for name, part in module.named_modules() if part in ends}
    return plan


def parallelize(
    module: nn.Module,
    mesh: DeviceMesh,
    plan: Mapping[str, ShardingStyle],
    fill: Callable[[Iterable[Tensor]], None] = lambda parameters: None,
) -> None:
    """Shard a module in place, layer by layer; tied weights stay tied.

    Args:
        fill: loads the values of a layer's parameters, just before the layer is sharded.
    """
    model: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
    for name, style in plan.items():
        part = module.get_submodule(name)
        fill(part.parameters())
        parallelize_module(part, mesh, style.torch_style(part), src_data_rank=None)
    model.tie_weights()


def _layer(name: str, part: Any, style: ShardingStyle) -> dict[str, ShardingStyle]:
    """Return the modules to shard of a linear layer, or of one with a LoRA adapter."""
    if type(part) is nn.Linear or style.dim is None:
        return {name: style}
    if type(getattr(part, "base_layer", None)) is not nn.Linear or not hasattr(part, "lora_A") or part.lora_variant:
        raise _refusal(f"{name} is a {type(part).__name__}, which tensor parallelism can't shard")
    low_rank = ("lora_B", "lora_A")[style.dim]
    return {f"{name}.base_layer": style} | {f"{name}.{low_rank}.{adapter}": style for adapter in part.lora_A}


def _refusal(message: str) -> UsageError:
    return UsageError(message, code="PARALLEL-056", where="parallel.tensor", hint="Use --parallel fsdp, which shards any architecture.")


def _with_wildcards(name: str) -> str:
    return re.sub(r"\.\d+(?=\.|$)", ".*", name)


class _SummedGradient(ParallelStyle):
    """Sum a replicated parameter's gradients: a norm of single heads sees only the heads of its process, so its gradients are partial."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        group, parameters = device_mesh.get_group(), {}

        def replace(part: nn.Module, _: Any) -> None:
            parameters.update(part._parameters)
            part._parameters.update({name: _summed(weight, group) for name, weight in parameters.items() if weight is not None})

        def restore(part: nn.Module, *_: Any) -> None:
            part._parameters.update(parameters)

        module.register_forward_pre_hook(replace)
        module.register_forward_hook(restore, always_call=True)
        return module


def _summed(weight: Tensor, group: dist.ProcessGroup) -> Any:
    return _Summed.apply(weight, group)  # type: ignore[no-untyped-call]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None
