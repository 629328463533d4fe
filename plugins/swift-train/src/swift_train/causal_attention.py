"""Attention of one row, each of whose tokens sees those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_OTHERS = ("softcap", "s_aux", "position_bias")


def unsupported_argument(arguments: Mapping[str, Any]) -> str:
    """Of what transformers gives an attention, the name of what some models do to their scores and `causal` does not; '' for none."""
    return next((name for name in _OTHERS if arguments.get(name) is not None), "")


def causal_attention(
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
