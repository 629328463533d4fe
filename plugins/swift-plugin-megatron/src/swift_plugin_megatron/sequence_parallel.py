"""Sequence parallelism: what a tensor group's processes keep between the parts of a layer is cut by tokens.

Norms and residual sums look at one token alone, so each process can have some of the tokens there. A layer that is cut by outputs begins
with all tokens, gathered; one that is cut by inputs ends with this process's own, added up. What is sent is as much as without it; what is
kept of the activations for the backward pass is one part of so many. Method: Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198

megatron-core's own exchanges put what they receive on CUDA; weights, and how they are cut, are its own.
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from swift_plugin_megatron.collectives import all_rows, even, own_rows, scatter_rows


def use(layer: Any) -> None:
    """Put our linear layers into the specification of a layer; of a mixture's experts, into those that all tokens share."""
    mlp = layer.mlp.keywords["submodules"]
    if hasattr(mlp, "shared_experts"):
        mlp = mlp.shared_experts.keywords["submodules"]
    for part, first, second in ((layer.self_attention.submodules, "linear_qkv", "linear_proj"), (mlp, "linear_fc1", "linear_fc2")):
        setattr(part, first, Column)
        setattr(part, second, Row)


class Column(ColumnParallelLinear):
    """Some outputs of all tokens, from all inputs of some tokens."""

    def forward(self, input_: Tensor, weight: Tensor | None = None, runtime_gather_output: bool | None = None) -> tuple[Tensor, Any]:
        """As megatron-core's: the output, and the bias where it is to be added later."""
        added, later = (None, self.bias) if self.skip_bias_add else (self.bias, None)
        return _Columns.apply(input_, self.weight, added, self.tp_group), later


class Row(RowParallelLinear):
    """All outputs of some tokens, from some inputs of all tokens."""

    def forward(self, input_: Tensor) -> tuple[Tensor, Any]:
        """As megatron-core's: the output, and the bias where it is to be added later."""
        share = functional.linear(input_, self.weight)
        output = scatter_rows(share, even(len(share) // dist.get_world_size(self.tp_group), self.tp_group), self.tp_group)
        return (output, self.bias) if self.skip_bias_add or self.bias is None else (output + self.bias, None)


class _Columns(Function):
    """A linear layer of gathered tokens, which keeps its own and gathers the others anew for the backward pass."""

    @staticmethod
    def forward(context: Any, own: Tensor, weight: Tensor, bias: Tensor | None, group: dist.ProcessGroup) -> Tensor:
        context.counts, context.group = even(len(own), group), group
        context.save_for_backward(own if context.needs_input_grad[1] else None, weight)
        return functional.linear(all_rows(own, context.counts, group), weight, bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        own, weight = context.saved_tensors
        of_given, of_weight, of_bias, _ = context.needs_input_grad
        flat = gradient.flatten(0, -2)
        return (
            own_rows(gradient @ weight, context.counts, context.group) if of_given else None,
            flat.T @ all_rows(own, context.counts, context.group).flatten(0, -2) if of_weight else None,
            flat.sum(0) if of_bias else None,
            None,
        )
