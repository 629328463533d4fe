"""Causal attention of one row, with grouped query heads and an optional sliding window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from swift_train.scored_attention import scored_attention

if TYPE_CHECKING:
    from swift_train.shared_prefixes import SharedPrefixes

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")


def unsupported_argument(arguments: Mapping[str, Any], supported: Sequence[str] = ()) -> str:
    """Return the name of an attention argument of transformers that is not implemented; '' if there is none.

    Args:
        arguments: of an attention function.
        supported: names of those that the caller passes on, as `cap` (softcap) and `sinks` (s_aux).
    """
    return next((name for name in _UNSUPPORTED if name not in supported and arguments.get(name) is not None), "")


def causal_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    window: int | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    cap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Compute causal attention of a row's last tokens over all of its tokens.

    Args:
        query: (1, heads, count, head size).
        keys, values: (1, key heads, length, head size), with length ≥ count.
        window: sliding window in tokens, including the token itself; None for no limit.
        scale: of the scores; None for 1/√(head size).
        dropout: probability, applied to the attention weights.
        cap, sinks: as of `swift_train.scored_attention`.

    Returns:
        (1, heads, count, head size).
    """
    count, length = query.shape[2], keys.shape[2]
    mask = None
    if count < length or (window and length > window):
        mask = torch.ones(count, length, dtype=torch.bool, device=query.device).tril(length - count)
        if window:
            mask = mask.triu(length - count - window + 1)
    if cap or sinks is not None:
        return scored_attention(query, keys, values, mask, scale=scale, dropout=dropout, cap=cap, sinks=sinks)
    grouped = query.shape[1] != keys.shape[1]
    return scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


def attend_by_row(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Sequence[int],
    **options: Any,
) -> Tensor:
    """Compute causal attention of concatenated rows, of each over its own tokens.

    Args:
        query: (1, heads, tokens, head size).
        keys, values: (1, key heads, tokens, head size).
        lengths: tokens of each row.
        options: of `causal_attention`.

    Returns:
        (1, heads, tokens, head size).
    """
    rows = zip(*(torch.split(states, list(lengths), 2) for states in (query, keys, values)), strict=True)
    return torch.cat([causal_attention(*row, **options) for row in rows], 2)


def attend_by_segment(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    prefixes: SharedPrefixes,
    **options: Any,
) -> Tensor:
    """Compute causal attention of segments of rows, each over the segments that it continues and itself; otherwise as `attend_by_row`."""
    found = []
    for place, slices in prefixes.key_slices():
        before, after = (torch.cat([states[:, :, each] for each in slices], 2) for states in (keys, values))
        found.append(causal_attention(query[:, :, place], before, after, **options))
    return torch.cat(found, 2)
