"""Float8 in megatron-core's linear layers: those that `--fp8` chose in the transformers model compute with torchao's products."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear
from megatron.core.tensor_parallel.mappings import copy_to_tensor_model_parallel_region
from swift_train.float8 import fits_float8, float8_product
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn import Module

Product = Callable[[Tensor, Tensor], Tensor]


def compute_in_float8(layers: Iterable[Module], device: torch.device) -> int:
    """Let linear layers compute in float8, and return their number; those with shards of sizes that the kernels lack stay as they are."""
    product, count = float8_product(device), 0
    for layer in layers:
        linear: Any = layer
        if isinstance(linear, ColumnParallelLinear | RowParallelLinear) and fits_float8(linear.weight):
            linear.product = linear._forward_impl = _Forward(product)
            count += 1
    return count


class _Forward:
    """Takes the place of megatron-core's product of a layer, which it calls with keywords; `product` is that of this package's layers."""

    def __init__(self, product: Product) -> None:
        self.product = product

    def __call__(self, *, input: Tensor, weight: Tensor, bias: Tensor | None, allreduce_dgrad: bool, tp_group: Any, **_: Any) -> Tensor:
        """Return the output; the gradient of the input is summed over the tensor-parallel group where the layer asks for it."""
        if allreduce_dgrad:
            input = copy_to_tensor_model_parallel_region(input, group=tp_group)
        output = self.product(input, weight)
        return output if bias is None else output + bias
