"""Losses of a step of embeddings, from all its queries and documents at once.

References: InfoNCE, van den Oord et al. 2018, arXiv:1807.03748, with the terms of GTE (Li et al. 2023, arXiv:2308.03281) and
Qwen3-Embedding (Zhang et al. 2025, arXiv:2506.05176); CoSENT, Huang et al. 2024, doi:10.1109/TASLP.2024.3402087; contrastive, Hadsell et
al. 2006; Matryoshka, Kusupati et al. 2022, arXiv:2205.13147. Equal to sentence-transformers' and ms-swift's where they have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_retrieval.options import EmbeddingOptions


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a step.

    Attributes:
        queries: (queries, size).
        documents: (documents, size).
        owner: (documents,) int64: the query of each document.
        labels: (documents,) float32: 1 relevant, 0 not, or a degree.
    """

    queries: Tensor
    documents: Tensor
    owner: Tensor
    labels: Tensor

    def similarities(self) -> Tensor:
        """Return the cosine similarity of each document to its own query, (documents,)."""
        return (normalize(self.queries, dim=-1)[self.owner] * normalize(self.documents, dim=-1)).sum(-1)


def step_loss(embedded: Embedded, options: EmbeddingOptions) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a step, a scalar, and its metrics by name."""
    loss = LOSSES[options.loss_type]
    sizes = options.matryoshka_dims or [embedded.queries.shape[-1]]
    weights = options.matryoshka_weights or [1.0] * len(sizes)
    parts = [
        weight * loss(replace(embedded, queries=embedded.queries[:, :size], documents=embedded.documents[:, :size]), options)
        for size, weight in zip(sizes, weights, strict=True)
    ]
    return torch.stack(parts).sum(), _metrics(embedded, options)


def _infonce(embedded: Embedded, options: EmbeddingOptions) -> Tensor:
    queries, documents = normalize(embedded.queries, dim=-1), normalize(embedded.documents, dim=-1)
    relevant = embedded.labels.nonzero().squeeze(1)  # a term for each relevant document
    asked = embedded.owner[relevant]
    similar = queries[asked] @ documents.T  # (terms, documents)
    own = embedded.owner[None] == asked[:, None]
    place = torch.arange(len(relevant), device=similar.device)
    positive = similar[place, relevant]
    excluded = own & (embedded.labels > 0)[None] if options.in_batch_negatives else ~own | (embedded.labels > 0)[None]
    limit = positive.detach()[:, None] + options.false_negative_margin
    parts = [_without(similar, excluded, limit, options)]
    if options.query_negatives:
        others = queries[asked] @ queries.T
        same = torch.arange(len(queries), device=similar.device)[None] == asked[:, None]
        parts.append(_without(others, same, limit, options))
    if options.document_negatives:
        near = documents[relevant] @ documents.T
        parts.append(near.masked_fill(own & (embedded.labels > 0)[None], -inf))
    scores = torch.cat([positive[:, None], *parts], 1) / options.temperature
    losses = scores.logsumexp(1) - scores[:, 0]
    share = 1 / torch.bincount(asked, minlength=len(queries))[asked]
    return (losses * share).sum() / len(queries)


def _without(similar: Tensor, excluded: Tensor, limit: Tensor, options: EmbeddingOptions) -> Tensor:
    if options.mask_false_negatives:
        excluded = excluded | (similar.detach() > limit)
    return similar.masked_fill(excluded, -inf)


def _cosent(embedded: Embedded, options: EmbeddingOptions) -> Tensor:
    scores = embedded.similarities() / options.temperature
    labels, order = embedded.labels.sort()
    scores = scores[order]
    higher = torch.searchsorted(labels, labels, right=True)  # of each pair, the first with a strictly larger label
    tails = torch.cat([(-scores).flip(0).logcumsumexp(0).flip(0), scores.new_full((1,), -inf)])
    return torch.cat([scores.new_zeros(1), scores + tails[higher]]).logsumexp(0)


def _cosine(embedded: Embedded, options: EmbeddingOptions) -> Tensor:
    return (embedded.similarities() - embedded.labels).square().mean()


def _contrastive(embedded: Embedded, options: EmbeddingOptions) -> Tensor:
    distances, labels = 1 - embedded.similarities(), embedded.labels
    far = (options.margin - distances).relu().square()
    return 0.5 * (labels * distances.square() + (1 - labels) * far).mean()


def _online_contrastive(embedded: Embedded, options: EmbeddingOptions) -> Tensor:
    """Only similar pairs that are farther than the nearest other pair, and other pairs that are nearer than the farthest similar one."""
    distances = 1 - embedded.similarities()
    similar, others = distances[embedded.labels > 0], distances[embedded.labels == 0]
    if not len(similar) or not len(others):
        return distances.sum() * 0
    near = others[others < (similar.max() if len(similar) > 1 else others.mean())]
    far = similar[similar > (others.min() if len(others) > 1 else similar.mean())]
    return far.square().sum() + (options.margin - near).relu().square().sum()


LOSSES: Mapping[str, Callable[[Embedded, EmbeddingOptions], Tensor]] = {
    "infonce": _infonce,
    "cosent": _cosent,
    "cosine_similarity": _cosine,
    "contrastive": _contrastive,
    "online_contrastive": _online_contrastive,
}


@torch.no_grad()
def _metrics(embedded: Embedded, options: EmbeddingOptions) -> dict[str, float]:
    """Return how often a relevant document is the most similar of all in the step; or the rank correlation of similarities and labels."""
    if options.loss_type == "infonce":
        similar = normalize(embedded.queries, dim=-1) @ normalize(embedded.documents, dim=-1).T
        first = similar.argmax(1)
        hit = (embedded.owner[first] == torch.arange(len(first), device=first.device)) & (embedded.labels[first] > 0)
        return {"accuracy": float(hit.float().mean())}
    return {"spearman": _correlation(_ranks(embedded.similarities()), _ranks(embedded.labels))}


def _ranks(values: Tensor) -> Tensor:
    """Return the rank of each value; equal ones share the mean of theirs."""
    ordered = values.sort().values
    return (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True) + 1) / 2


def _correlation(one: Tensor, other: Tensor) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = one.norm() * other.norm()
    return float((one * other).sum() / scale) if scale else 0.0
