"""Log-likelihoods of tokens under a model, and how far two models agree."""

from __future__ import annotations

import math
from collections.abc import Sequence as Windows
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import kl_div

from swift_plugin_transformers.evaluation.encoding import Sequence
from swift_plugin_transformers.evaluation.passes import passes

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_transformers.evaluation.scored_model import ScoredModel


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over counted tokens."""

    nll: float = 0.0  # negative log-likelihood in nats
    tokens: int = 0
    right: int = 0  # tokens that were the most probable ones

    def __add__(self, other: Total) -> Total:
        return Total(self.nll + other.nll, self.tokens + other.tokens, self.right + other.right)

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nll / self.tokens


@dataclass(frozen=True, slots=True)
class Agreement:
    """Sums over counted tokens of how far a model agrees with a reference."""

    kl: float = 0.0  # KL divergence from the reference in nats
    tokens: int = 0
    equal: int = 0  # tokens at which both find the same one the most probable

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.kl + other.kl, self.tokens + other.tokens, self.equal + other.equal)


@torch.inference_mode()
def totals(model: ScoredModel, windows: Windows[Sequence]) -> list[Total]:
    """Return the sums of each window."""
    found = [Total()] * len(windows)
    for each in passes(windows, model):
        labels = each.micro.labels.to(model.device)
        parts = [_of_tokens(logits, labels[block]) for block, logits in model.logits(model.states(each.micro))]
        nll, right = (torch.cat(column).split_with_sizes(list(each.counts)) for column in zip(*parts, strict=True))
        for number, *sums in zip(each.windows, nll, right, strict=True):
            found[number] = Total(float(sums[0].double().sum()), len(sums[0]), int(sums[1].sum()))
    return found


@torch.inference_mode()
def agreements(model: ScoredModel, reference: ScoredModel, windows: Windows[Sequence]) -> list[Agreement]:
    """Return the sums of each window; the reference computes in the same forward passes."""
    found = [Agreement()] * len(windows)
    for each in passes(windows, model, reference):
        parts = []
        for (_, ours), (_, theirs) in zip(*(side.logits(side.states(each.micro)) for side in (model, reference)), strict=True):
            target = theirs.to(ours.device)
            kl = kl_div(ours.log_softmax(-1), target.log_softmax(-1), log_target=True, reduction="none").sum(-1)
            parts.append((kl, ours.argmax(-1) == target.argmax(-1)))
        kls, equal = (torch.cat(column).split_with_sizes(list(each.counts)) for column in zip(*parts, strict=True))
        for number, *sums in zip(each.windows, kls, equal, strict=True):
            found[number] = Agreement(float(sums[0].double().sum()), len(sums[0]), int(sums[1].sum()))
    return found


def _of_tokens(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the negative log-likelihood of each label, and whether it is the most probable token; `logits` is overwritten."""
    target = logits.gather(1, labels[:, None])
    top, best = logits.max(-1, keepdim=True)
    log_sum = logits.sub_(top).exp_().sum(-1, keepdim=True).log_().add_(top)
    return (log_sum - target).squeeze(1), best.squeeze(1) == labels


def ratio(numerators: list[float], denominators: list[float]) -> tuple[float, float | None]:
    """Return a ratio of sums over rows and its standard error (that of a ratio estimator; None for a single row)."""
    value, n = math.fsum(numerators) / math.fsum(denominators), len(numerators)
    if n < 2:
        return value, None
    squares = math.fsum((a - value * b) ** 2 for a, b in zip(numerators, denominators, strict=True))
    return value, math.sqrt(n / (n - 1) * squares) / math.fsum(denominators)
