"""Attention of one row, each of whose tokens sees those before it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def causal(
    query: Tensor, keys: Tensor, values: Tensor, *, window: int | None = None, scale: float | None = None, dropout: float = 0.0
) -> Tensor:
    """(1, heads, count, size) queries of a row's last tokens over (1, key heads, length, size) → (1, heads, count, size).

    Args:
        window: how many tokens back, itself included, a token sees; None for all.
    """
    count, length = query.shape[2], keys.shape[2]
    mask = None
    if count < length or (window and length > window):
        mask = torch.ones(count, length, dtype=torch.bool, device=query.device).tril(length - count)
        if window:
            mask = mask.triu(length - count - window + 1)
    grouped = query.shape[1] != keys.shape[1]
    return scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )
