"""LoRA's low-rank update of a linear layer as one operation, with its own backward pass.

PEFT casts a layer's input to the adapter's float32, autocast casts it back, and dropout writes another, so that every adapted layer keeps
two or three tensors of its input's size until the backward pass; its update is a product, a scaling and a sum of the output's size. Here
the input is kept as it is, once for all layers that share it, with a mask of one byte an element if there is dropout, and the product adds
the update to the output. Products are in the input's dtype, as under autocast; weights and their gradients stay in float32.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from peft.tuners import lora
from torch import nn
from torch.autograd import Function
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_FUSIBLE = ("Linear", "Linear4bit", "Linear8bitLt")  # of `peft.tuners.lora`; the others have a forward pass of their own


def fuse(model: Module) -> None:
    """Let the LoRA layers of a model compute their update as one operation when they can, and as PEFT does otherwise."""
    classes: set[Any] = {getattr(lora, name, None) for name in _FUSIBLE}
    for module in model.modules():
        layer: Any = type(module)
        if layer in classes:
            module.__class__ = _fused(layer)


class Factors(NamedTuple):
    """The factors of an update."""

    scaling: float
    dropout: float  # probability
    in_place: bool


class FusedLora:
    """Mixin before one of PEFT's layers."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the base layer's output plus the active adapter's update."""
        name = None if args or kwargs else self._plain_adapter(x)
        if name is None:
            result: Tensor = super().forward(x, *args, **kwargs)  # type: ignore[misc]
            return result
        layer: Any = self
        down, up, dropout = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.lora_dropout[name]
        base = layer.base_layer(x)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        factors = Factors(
            scaling=layer.scaling[name],
            dropout=dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0,
            in_place=type(layer.base_layer) is nn.Linear and base.is_contiguous() and not base._is_view(),
        )
        updated: Tensor = _LowRankUpdate.apply(base, x, down, up, factors)  # type: ignore[no-untyped-call]
        return updated

    def _plain_adapter(self, x: Tensor) -> str | None:
        """Return the name of the adapter in use if it is one, plain, and its weights are here, not gathered by a hook or spread."""
        layer: Any = self
        if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
            return None
        name: str = layer.active_adapters[0]
        if name not in layer.lora_A or name in layer.lora_variant or x.dim() < 2 or not x.is_floating_point():
            return None
        return name if all(_is_plain(part) for part in (layer.lora_A[name], layer.lora_B[name])) else None


class _LowRankUpdate(Function):
    """base + scaling · dropout(x) Aᵀ Bᵀ, for base (…, out), x (…, in), A (rank, in) and B (out, rank)."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, x: Tensor, *weights: Any) -> Tensor:
        down, up, ctx.factors = weights
        dropped, mask = torch.native_dropout(x, ctx.factors.dropout, train=True) if ctx.factors.dropout else (x, None)
        low = dropped.flatten(0, -2) @ down.to(x.dtype).t()
        ctx.save_for_backward(x, mask, low, down, up)
        result = base if ctx.factors.in_place else base.clone(memory_format=torch.contiguous_format)
        if ctx.factors.in_place:
            ctx.mark_dirty(base)
        result.view(-1, result.shape[-1]).addmm_(low.to(base.dtype), up.to(base.dtype).t(), alpha=ctx.factors.scaling)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, mask, low, down, up = ctx.saved_tensors
        kept, scaling = 1 / (1 - ctx.factors.dropout), ctx.factors.scaling
        slope = gradient.flatten(0, -2).to(x.dtype)
        of_low, of_x, of_down, of_up = (slope @ up.to(x.dtype)) * scaling, None, None, None
        if ctx.needs_input_grad[1]:
            of_x = (of_low @ down.to(x.dtype)).view(x.shape)
            of_x = of_x if mask is None else torch.ops.aten.native_dropout_backward(of_x, mask, kept)
        if ctx.needs_input_grad[2]:
            dropped = x if mask is None else torch.ops.aten.native_dropout_backward(x, mask, kept)
            of_down = (of_low.t() @ dropped.flatten(0, -2)).to(down.dtype)
        if ctx.needs_input_grad[3]:
            of_up = (slope.t() @ low).mul_(scaling).to(up.dtype)
        return gradient if ctx.needs_input_grad[0] else None, of_x, of_down, of_up, None


@cache
def _fused(layer: Any) -> Any:
    return type(f"Fused{layer.__name__}", (FusedLora, layer), {})


def _is_plain(part: Any) -> bool:
    """Return whether the weight is whole and always here: neither spread over devices nor gathered by hooks."""
    weight, bias, hooks = part.weight, part.bias, (*part._forward_pre_hooks, *part._forward_hooks)
    return type(part) is nn.Linear and bias is None and not isinstance(weight, DTensor) and not hooks
