"""Linear layers whose weights are packed in a few bits, for tracing: the memory of a quantized layer, without its kernels.

The weight is bytes; a pass unpacks it into a matrix of the compute dtype, multiplies, and frees it; the backward pass unpacks it again
(QLoRA, https://arxiv.org/abs/2305.14314).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter, functional as F

_GROUP, _NESTED = 64, 256  # weights per scale; scales per scale of scales


class PackedLinear(Linear):
    """A linear layer of a quantized model, on any device."""

    def __init__(self, layer: Linear, bits: float) -> None:
        Module.__init__(self)
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        self.dtype, device = layer.weight.dtype, layer.weight.device
        count = layer.weight.numel()
        self.weight = Parameter(torch.empty(int(count * bits / 8), 1, dtype=torch.uint8, device=device), requires_grad=False)
        self.register_buffer("scales", torch.empty(count // _GROUP, dtype=torch.uint8, device=device), persistent=False)
        self.register_buffer("nested", torch.empty(count // _GROUP // _NESTED + 1, dtype=torch.float32, device=device), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Return the product with the unpacked weight."""
        shape = self.out_features, self.in_features
        product: Tensor = _Product.apply(input, self.weight, self.bias, shape)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, packed: Tensor, bias: Tensor | None, shape: tuple[int, int]) -> Tensor:
        ctx.shape = shape
        ctx.save_for_backward(packed)
        return F.linear(states, states.new_empty(*shape), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        return gradient @ gradient.new_empty(*ctx.shape), None, None, None


def pack(model: Module, bits: float, skip: Iterable[str]) -> None:
    """Replace the linear layers of a model on `meta` by packed ones, but for modules whose path has a name in `skip`."""
    left = set(skip)
    embeddings: Any = getattr(model, "get_output_embeddings", lambda: None)()
    for path, layer in list(model.named_modules()):
        if type(layer) is Linear and layer is not embeddings and not left & set(path.split(".")):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, PackedLinear(layer, bits))
    vars(model)["is_quantized"] = True
