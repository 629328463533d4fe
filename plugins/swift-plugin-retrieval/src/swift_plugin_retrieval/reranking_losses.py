"""Losses of the scores of a query's documents.

Pointwise: binary cross entropy of each pair. Listwise: cross entropy of the relevant documents among those of the query (the localized
contrastive loss of Gao et al. 2021, arXiv:2101.08751). ListNet, Cao et al. 2007, doi:10.1145/1273496.1273513: cross entropy of the
distribution of labels. Equal to sentence-transformers' BinaryCrossEntropyLoss, MultipleNegativesRankingLoss without other queries'
documents, and ListNetLoss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_retrieval.options import RerankerOptions


def sample_losses(scores: Tensor, labels: Tensor, sample: Tensor, options: RerankerOptions) -> Tensor:
    """Return the loss of each query, (queries,): pointwise the sum over its documents.

    Args:
        scores, labels: of each document, (documents,) float32.
        sample: number of the query that each document belongs to, (documents,) int64, ascending.
        options: of the task.
    """
    counts = torch.bincount(sample).tolist()
    if options.loss_type == "pointwise":
        losses = binary_cross_entropy_with_logits(scores, labels, reduction="none")
        return losses.new_zeros(len(counts)).index_add(0, sample, losses)
    found = []
    for own, wanted in zip(torch.split(scores / options.temperature, counts), torch.split(labels, counts), strict=True):
        target = wanted.softmax(0) if options.loss_type == "listnet" else wanted / wanted.sum()
        found.append(-(target * own.log_softmax(0)).sum())
    return torch.stack(found)


def ranked_first(scores: Tensor, labels: Tensor, sample: Tensor) -> Tensor:
    """Return for each query whether its document with the highest score has the highest label, (queries,) float32."""
    counts = torch.bincount(sample).tolist()
    pairs = zip(torch.split(scores, counts), torch.split(labels, counts), strict=True)
    return torch.stack([(wanted[own.argmax()] == wanted.max()).float() for own, wanted in pairs])
