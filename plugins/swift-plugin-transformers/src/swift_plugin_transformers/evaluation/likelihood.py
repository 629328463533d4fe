"""Log-likelihoods of tokens under a model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from swift_plugin_transformers.evaluation.encoding import Sequence

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the counted tokens of a row."""

    nll: float  # negative log-likelihood in nats
    tokens: int
    right: int  # tokens that were the most probable ones

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nll / self.tokens


@torch.inference_mode()
def logits_of(model: Module, window: Sequence) -> tuple[Tensor, Tensor]:
    """Return the logits of the counted tokens of a window (tokens, vocabulary) in float32, and these tokens."""
    device = next(model.parameters()).device
    ids = torch.tensor([window.ids], device=device)
    counted = torch.tensor(window.counted, device=device)
    hidden = model(input_ids=ids[:, :-1], use_cache=False).logits[0, -len(window.counted) :]
    return hidden[counted].float(), ids[0, -len(window.counted) :][counted]


def total(model: Module, windows: Iterable[Sequence]) -> Total:
    """Return the sums over the windows of a row."""
    nll, tokens, right = 0.0, 0, 0
    for window in windows:
        if not any(window.counted):
            continue
        logits, targets = logits_of(model, window)
        nll += float(functional.cross_entropy(logits, targets, reduction="sum"))
        right += int((logits.argmax(-1) == targets).sum())
        tokens += len(targets)
    return Total(nll, tokens, right)


@torch.inference_mode()
def divergence(model: Module, reference: Module, windows: Iterable[Sequence]) -> tuple[float, float, int]:
    """Return the KL divergence of the model from the reference in nats, equal most probable tokens, and tokens, summed over the windows."""
    kl, equal, tokens = 0.0, 0, 0
    for window in windows:
        if any(window.counted):
            ours, theirs = logits_of(model, window)[0], logits_of(reference, window)[0]
            kl += float(functional.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="sum"))
            equal += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
            tokens += len(ours)
    return kl, equal, tokens


def ratio(numerators: list[float], denominators: list[float]) -> tuple[float, float | None]:
    """Return a ratio of sums over rows and its standard error (that of a ratio estimator; None for a single row)."""
    value, n = math.fsum(numerators) / math.fsum(denominators), len(numerators)
    if n < 2:
        return value, None
    squares = math.fsum((a - value * b) ** 2 for a, b in zip(numerators, denominators, strict=True))
    return value, math.sqrt(n / (n - 1) * squares) / math.fsum(denominators)
