"""Cross-entropy loss without a float32 copy of all logits.

The logits (supervised, vocabulary) are the largest tensor of a step. The gradient of −log softmax is softmax − onehot, which needs the
logits and one number per row, their log-sum-exp; so only these are saved for the backward pass, and float32 values are computed in
blocks of rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_BLOCK = 1 << 25  # elements of a float32 block: 128 MiB


class _LogProbabilities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        found = logits.new_empty((len(labels), 1), dtype=torch.float32)
        log_sums = torch.empty_like(found)
        for part in blocks(logits):
            target = labels[part, None]
            found[part] = torch.log_softmax(logits[part], -1, dtype=torch.float32).gather(1, target)
            log_sums[part] = logits[part].gather(1, target).float() - found[part]
        ctx.save_for_backward(logits, log_sums, labels)
        return found.squeeze(1)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        logits, log_sums, labels = ctx.saved_tensors
        scale = -outputs[0][:, None]
        gradient = torch.empty_like(logits)
        for part in blocks(logits):
            block = gradient[part] if gradient.dtype == torch.float32 else logits[part].float()
            torch.sub(logits[part], log_sums[part], out=block)
            block.exp_().mul_(scale[part]).scatter_add_(1, labels[part, None], -scale[part])
            if gradient.dtype != torch.float32:
                gradient[part] = block
        return gradient, None


def blocks(logits: Tensor) -> list[slice]:
    """Return the blocks of rows whose float32 values fit into 128 MiB."""
    rows = max(1, _BLOCK // logits.shape[-1])
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]


def log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute log softmax(logits)[label] of each row in float32, (rows,).

    Args:
        logits: (rows, vocabulary), any floating dtype.
        labels: (rows,) int64.
    """
    result: Tensor = _LogProbabilities.apply(logits, labels)  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def entropies(logits: Tensor) -> Tensor:
    """Return the entropy of each row's distribution, (rows,) float32, without a gradient; `logits` as of `log_probabilities`."""
    found = logits.new_empty(len(logits), dtype=torch.float32)
    for part in blocks(logits):
        every = torch.log_softmax(logits[part], -1, dtype=torch.float32)
        found[part] = -(every.exp() * every).sum(-1)
    return found


def summed_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of the cross entropies, Σ weight · −log softmax(logits)[label], in float32.

    Args:
        logits: (rows, vocabulary), any floating dtype.
        labels: (rows,) int64.
        weights: (rows,) float32.

    Returns:
        A float32 scalar.
    """
    return -(log_probabilities(logits, labels) * weights).sum()
