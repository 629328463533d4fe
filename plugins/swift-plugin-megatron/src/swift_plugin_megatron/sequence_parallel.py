"""Sequence parallelism: between the linear layers, the activations of a tensor-parallel group are sharded by tokens.

Norms and residual connections process each token independently, so each process can hold some of the tokens there. A column-parallel layer
all-gathers the tokens first; a row-parallel layer ends with a reduce-scatter instead of an all-reduce. Communication volume is the same as
without, and activation memory is divided by the group size. Method: Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198

megatron-core's own collectives run on CUDA only, hence these; the weights and their sharding are megatron-core's.
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from swift_plugin_megatron.collectives import all_gather, equal_counts, reduce_scatter, scatter_tokens


def apply_to(layer: Any) -> None:
    """Put the linear layers of this module into a layer specification; in a mixture of experts, into the shared experts."""
    mlp = layer.mlp.keywords["submodules"]
    if hasattr(mlp, "shared_experts"):
        mlp = mlp.shared_experts.keywords["submodules"]
    for part, first, second in ((layer.self_attention.submodules, "linear_qkv", "linear_proj"), (mlp, "linear_fc1", "linear_fc2")):
        setattr(part, first, ColumnLinear)
        setattr(part, second, RowLinear)


class ColumnLinear(ColumnParallelLinear):  # type: ignore[misc]
    """Column-parallel layer: from a shard of the tokens to some outputs of all tokens."""

    def forward(self, input_: Tensor, weight: Tensor | None = None, runtime_gather_output: bool | None = None) -> tuple[Tensor, Any]:
        """Return the output, and the bias if it is to be added later, as megatron-core's layer does."""
        bias, later = (None, self.bias) if self.skip_bias_add else (self.bias, None)
        if own := getattr(self, "product", None):  # of float8
            gathered: Tensor = _GatherTokens.apply(input_, self.tp_group)  # type: ignore[no-untyped-call]
            output: Tensor = own.product(gathered, self.weight)
            return (output if bias is None else output + bias), later
        output = _GatherLinear.apply(input_, self.weight, bias, self.tp_group)  # type: ignore[no-untyped-call]
        return output, later


class RowLinear(RowParallelLinear):  # type: ignore[misc]
    """Row-parallel layer: from some inputs of all tokens to all outputs of a shard of the tokens."""

    def forward(self, input_: Tensor) -> tuple[Tensor, Any]:
        """Return the output, and the bias if it is to be added later, as megatron-core's layer does."""
        own = getattr(self, "product", None)  # of float8
        partial = own.product(input_, self.weight) if own else functional.linear(input_, self.weight)
        output = scatter_tokens(partial, equal_counts(len(partial) // dist.get_world_size(self.tp_group), self.tp_group), self.tp_group)
        return (output, self.bias) if self.skip_bias_add or self.bias is None else (output + self.bias, None)


class _GatherTokens(Function):
    """All-gather the tokens; the gradient is reduce-scattered."""

    @staticmethod
    def forward(context: Any, local: Tensor, group: dist.ProcessGroup) -> Tensor:
        context.counts, context.group = equal_counts(len(local), group), group
        return all_gather(local, context.counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return reduce_scatter(gradient.contiguous(), context.counts, context.group), None


class _GatherLinear(Function):
    """A linear layer of all-gathered tokens; it saves the local tokens only, and gathers again in the backward pass."""

    @staticmethod
    def forward(context: Any, local: Tensor, weight: Tensor, bias: Tensor | None, group: dist.ProcessGroup) -> Tensor:
        context.counts, context.group = equal_counts(len(local), group), group
        context.save_for_backward(local if context.needs_input_grad[1] else None, weight)
        return functional.linear(all_gather(local, context.counts, group), weight, bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        local, weight = context.saved_tensors
        needs_input, needs_weight, needs_bias, _ = context.needs_input_grad
        flat = gradient.flatten(0, -2)
        return (
            reduce_scatter(gradient @ weight, context.counts, context.group) if needs_input else None,
            flat.T @ all_gather(local, context.counts, context.group).flatten(0, -2) if needs_weight else None,
            flat.sum(0) if needs_bias else None,
            None,
        )
