"""Attention whose scores are capped, or that has sinks, from plain operations, as transformers' eager attention computes it."""

from __future__ import annotations

import torch
from torch import Tensor


def scored_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    *,
    scale: float | None,
    dropout: float,
    cap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Compute attention with capped scores (Gemma 2) or sinks (gpt-oss).

    Args:
        query: (1, heads, count, head size).
        keys, values: (1, key heads, length, head size).
        mask: (count, length) bool, True where a token attends; None for causal attention with count = length.
        scale: of the scores; None for 1/√(head size).
        dropout: probability, applied to the attention weights.
        cap: scores s become cap · tanh(s / cap); None for none.
        sinks: (heads,): the score of a token without a value that every token attends to; None for none.

    Returns:
        (1, heads, count, head size).
    """
    heads, key_heads, size = query.shape[1], keys.shape[1], query.shape[-1]
    grouped = query.reshape(1, key_heads, heads // key_heads, *query.shape[2:])
    scores = grouped @ keys[:, :, None].transpose(-1, -2) * (size**-0.5 if scale is None else scale)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    if sinks is not None:
        sink = sinks.to(scores.dtype).reshape(1, key_heads, -1, 1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sink], -1)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype)[..., : keys.shape[2]]
    weights = torch.nn.functional.dropout(weights, dropout)
    return (weights @ values[:, :, None]).reshape(1, heads, query.shape[2], values.shape[-1])
