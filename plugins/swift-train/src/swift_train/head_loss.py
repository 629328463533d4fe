"""Cross entropy of a linear head by chunks, without the logits of all tokens (as Liger's fused linear cross entropy, arXiv:2410.10989).

The logits (supervised, vocabulary) and their gradient are the largest tensors of a step. Here the head's product, the loss and the
gradients of the states and of the head are computed for some tokens at a time, in the forward pass: memory is O(chunk × vocabulary), and
the arithmetic that of logits in one piece.

The loss is computed inside the head's own call, where every strategy has the weight whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from swift_train.adapters import inner_model, takes_logits_to_keep
from swift_train.chunk_sizes import CHUNK, CPU_CHUNK
from swift_train.losses import summed_cross_entropy

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_train.batches import Micro


class _HeadCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, targets: tuple[Tensor, Tensor]) -> Tensor:
        (labels, weights), (to_states, to_weight, to_bias, _) = targets, ctx.needs_input_grad
        used, added = weight.to(states.dtype), None if bias is None else bias.to(states.dtype)
        of_states = torch.empty_like(states) if to_states else None
        of_weight = torch.zeros_like(weight) if to_weight else None
        of_bias = torch.zeros_like(bias) if bias is not None and to_bias else None
        total = states.new_zeros((), dtype=torch.float32)
        for part in _chunks(states, weight):
            logits = nn.functional.linear(states[part], used, added)
            with torch.set_grad_enabled(to_states or to_weight or to_bias):
                loss = summed_cross_entropy(logits.requires_grad_(torch.is_grad_enabled()), labels[part], weights[part])
            total += loss.detach()
            if not loss.requires_grad:
                continue
            (slope,) = torch.autograd.grad(loss, logits)
            del logits, loss
            if of_states is not None:
                of_states[part] = slope @ used
            if of_weight is not None:
                of_weight += slope.t() @ states[part]
            if of_bias is not None:
                of_bias += slope.sum(0)
        ctx.save_for_backward(of_states, of_weight, of_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (*(None if each is None else each * gradients[0].to(each.dtype) for each in ctx.saved_tensors), None)


def head_cross_entropy(states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, weights: Tensor) -> Tensor:
    """Return Σ weight · −log softmax(states · headᵀ + bias)[label], a float32 scalar.

    Args:
        states: (rows, size), in the dtype of the product.
        weight: of the head, (vocabulary, size).
        bias: of the head, (vocabulary,).
        labels: (rows,) int64.
        weights: of the rows, (rows,) float32.
    """
    result: Tensor = _HeadCrossEntropy.apply(states, weight, bias, (labels, weights))  # type: ignore[no-untyped-call]
    return result


def _chunks(states: Tensor, weight: Tensor) -> list[slice]:
    size = max(1, (CPU_CHUNK if states.device.type == "cpu" else CHUNK) // len(weight))
    return [slice(start, start + size) for start in range(0, len(states), size)]


class HeadLoss:
    """Has a model's head compute the loss of a micro-batch in place of its logits, if nothing else is done with them."""

    def __init__(self) -> None:
        self._head: Module | None = None
        self._model: Module | None = None

    def applies_to(self, model: Module, micro: Micro) -> bool:
        """Return whether the head can: what a first pass returns is what the head has returned, since some models cap or scale logits.

        Args:
            model: the model.
            micro: of the first pass, which leaves no trace.
        """
        if self._model is not model:
            self._model, self._head = model, _head_of(model, micro)
        return self._head is not None

    def __call__(self, model: Module, micro: Micro, **more: Any) -> Tensor:
        """Return the sum of the cross entropies of a micro-batch, a float32 scalar; `more` are arguments of the model."""
        head: Any = self._head

        def loss(states: Tensor) -> Tensor:
            states = states.flatten(0, -2)
            if torch.is_autocast_enabled(states.device.type):
                states = states.to(torch.get_autocast_dtype(states.device.type))
            return head_cross_entropy(states, head.weight, head.bias, micro.labels, micro.weights)

        head.forward = loss
        try:
            output = model(input_ids=micro.input_ids, use_cache=False, logits_to_keep=micro.positions, **micro.row_arguments, **more)
        finally:
            del head.forward
        found: Tensor = output.logits
        return found


def _head_of(model: Module, micro: Micro) -> Module | None:
    """Return the head of a model whose logits are what it returns; None if there is no such head."""
    inner = inner_model(model)
    head: Any = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    if type(head) is not nn.Linear or isinstance(head.weight, DTensor) or not takes_logits_to_keep(model):
        return None
    made: list[Any] = []
    handle = head.register_forward_hook(lambda module, arguments, output: made.append(output))
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            returned = model(input_ids=micro.input_ids, use_cache=False, logits_to_keep=micro.positions[:1], **micro.row_arguments).logits
    finally:
        handle.remove()
        for part, mode in modes:
            part.training = mode
    return head if len(made) == 1 and made[0] is returned else None
