"""Tensor parallelism: each layer's weights are cut over processes that compute it together, on the same rows.

A layer that is cut by columns gives each process a part of its outputs, such as some attention heads; the layer after it, cut by rows,
takes those parts as its inputs, and its partial sums are added up. Which layer is cut how, transformers says of each architecture
(`tp_plan`); torch's `parallelize_module` does it. Method: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053

A LoRA follows its layer: B of one that is cut by columns, A of one that is cut by rows; the other of the two is whole everywhere.
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

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh


@dataclass(frozen=True, slots=True)
class Cut:
    """How a layer's weight lies over the processes, and how its inputs and outputs do: in parts, along the features, or whole."""

    dim: int | None  # of the weight: 0 by columns, 1 by rows; None where it is whole, and its gradients are parts of a sum
    whole_input: bool = True
    whole_output: bool = True

    def style(self, module: nn.Module) -> ParallelStyle:
        """torch's name of it."""
        if self.dim is None:
            return _SummedGradient()
        inputs, outputs = (Replicate() if whole else Shard(-1) for whole in (self.whole_input, self.whole_output))
        by_columns = (self.dim == 0) == isinstance(module, nn.Linear)  # an embedding's rows are what a linear layer's columns are
        return (ColwiseParallel if by_columns else RowwiseParallel)(input_layouts=inputs, output_layouts=outputs)

    def of(self, parameter: str) -> Placement:
        """How the weight or the bias lies."""
        if self.dim is None or (parameter == "bias" and self.dim == 1):
            return Replicate()
        return Shard(self.dim)


_CUTS = {
    "colwise": Cut(0, whole_output=False),
    "colwise_gather_output": Cut(0),
    "colwise_rep": Cut(0),
    "rowwise": Cut(1, whole_input=False),
    "rowwise_split_input": Cut(1),
    "rowwise_rep": Cut(1),
    "replicated_with_grad_allreduce": Cut(None),
}


def plan_of(module: nn.Module, size: int) -> dict[str, Cut]:
    """What is cut into `size` parts, by the modules' names. What is in no plan is computed whole by every process.

    Raises:
        UsageError: the architecture has no plan, or one with layers that can't be cut here.
    """
    model: Any
    root, model = next((name, part) for name, part in module.named_modules() if isinstance(part, PreTrainedModel))
    ends: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    plan: dict[str, Cut] = {}
    for name, part in model.named_modules(prefix=root):
        style = (model.tp_plan or {}).get(_general(name.removeprefix(root).removeprefix(".")))
        if style is None or part in ends:
            continue
        if style not in _CUTS:
            raise _refusal(f"{type(model).__name__} has layers of the kind {style}, which are not cut here")
        plan |= _layer(name, part, _CUTS[style])
    if not plan:
        raise _refusal(f"the architecture {type(model).__name__} has no plan for tensor parallelism")
    if all(type(end) in (nn.Embedding, nn.Linear) and end.weight.shape[0] % size == 0 for end in ends):
        plan |= {name: Cut(0) for name, part in module.named_modules() if part in ends}
    return plan


def parallelize(
    module: nn.Module, mesh: DeviceMesh, plan: Mapping[str, Cut], fill: Callable[[Iterable[Tensor]], None] = lambda parameters: None
) -> None:
    """Cut a module in place, layer by layer; weights that layers share stay shared.

    Args:
        fill: gives a layer's parameters their values, of which each process then keeps its part.
    """
    model: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
    for name, cut in plan.items():
        part = module.get_submodule(name)
        fill(part.parameters())
        parallelize_module(part, mesh, cut.style(part), src_data_rank=None)
    model.tie_weights()


def _layer(name: str, part: Any, cut: Cut) -> dict[str, Cut]:
    """The modules to cut of a layer, or of one with a LoRA."""
    if type(part) is nn.Linear or cut.dim is None:
        return {name: cut}
    if type(getattr(part, "base_layer", None)) is not nn.Linear or not hasattr(part, "lora_A") or part.lora_variant:
        raise _refusal(f"{name} is a {type(part).__name__}, which can't be cut")
    low_rank = ("lora_B", "lora_A")[cut.dim]
    return {f"{name}.base_layer": cut} | {f"{name}.{low_rank}.{adapter}": cut for adapter in part.lora_A}


def _refusal(message: str) -> UsageError:
    return UsageError(message, where="parallel.tensor", hint="Use --parallel fsdp, which cuts any architecture.")


def _general(name: str) -> str:
    return re.sub(r"\.\d+(?=\.|$)", ".*", name)


class _SummedGradient(ParallelStyle):
    """A norm of single heads: whole everywhere, but a process sees its own heads alone, so that its gradients are parts of a sum."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        group, own = device_mesh.get_group(), {}

        def exchange(part: nn.Module, _: Any) -> None:
            own.update(part._parameters)
            part._parameters.update({name: _summed(weight, group) for name, weight in own.items() if weight is not None})

        def restore(part: nn.Module, *_: Any) -> None:
            part._parameters.update(own)

        module.register_forward_pre_hook(exchange)
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
        whole = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole, group=ctx.group)
        return whole, None
