"""Causal attention in float32 on a CPU by blocks of queries, for forward passes without gradients.

torch's kernel for CPUs computes the products of attention by MKL in its own code, where oneDNN's products
(`swift_train.onednn_matmul`) don't reach. Here the scores of 64 queries, of all heads that share a key, are one matrix product whose result
stays in the cache, and scores of later tokens are not computed: 3.9 ms in place of 7.0 for 512 tokens, 9 heads and 3 groups on one core of
an AMD EPYC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

_BLOCK = 64  # queries
_LONG = 128  # tokens from which it is used: shorter ones are dominated by calls


class BlockedAttention(TorchFunctionMode):
    """A context in which causal `scaled_dot_product_attention` of torch is computed by blocks where that gives the same."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute a function of torch."""
        given = dict(kwargs or {})
        if func is scaled_dot_product_attention and len(args) == 3 and not torch.is_grad_enabled() and _is_causal(*args, **given):
            return causal_attention(*args, scale=given.get("scale"))
        return func(*args, **given)


def causal_attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None) -> Tensor:
    """Return the attention of each token to itself and those before it.

    Args:
        query: (1, heads, tokens, size).
        key, value: (1, groups, tokens, size); each group serves `heads / groups` heads.
        scale: factor of the scores; default: 1 / sqrt(size).

    Returns:
        (1, heads, tokens, size).
    """
    (_, heads, tokens, size), groups = query.shape, key.shape[1]
    shared = heads // groups
    scaled = (query * (size**-0.5 if scale is None else scale)).view(groups, shared, tokens, size)
    keys, values = key[0].contiguous(), value[0].contiguous()
    later = torch.ones(_BLOCK, _BLOCK, dtype=torch.bool).triu(1)
    result = torch.empty_like(scaled)
    for group in range(groups):
        for start in range(0, tokens, _BLOCK):
            end = min(start + _BLOCK, tokens)
            count = end - start
            scores = scaled[group, :, start:end].reshape(-1, size) @ keys[group, :end].t()
            scores.view(shared, count, end)[:, :, start:].masked_fill_(later[:count, :count], -torch.inf)
            result[group, :, start:end] = (scores.softmax(-1) @ values[group, :end]).view(shared, count, size)
    return result.view(1, heads, tokens, size)


def _is_causal(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> bool:
    """Return whether `causal_attention` gives the same: one sequence, each token attending to itself and all before it."""
    return (
        bool(options.get("is_causal"))
        and options.get("attn_mask") is None
        and not options.get("dropout_p")
        and all(each.device.type == "cpu" and each.dtype == torch.float32 for each in (query, key, value))
        and query.dim() == 4
        and query.shape[0] == 1
        and key.shape == value.shape
        and query.shape[2:] == key.shape[2:]
        and (query.shape[1] == key.shape[1] or bool(options.get("enable_gqa")))
        and query.shape[2] >= _LONG
    )
