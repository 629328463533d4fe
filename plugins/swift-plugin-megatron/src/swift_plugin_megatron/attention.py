"""Attention over packed rows, each of which attends to itself only; rotary position embeddings as in transformers.

With context parallelism a process holds some tokens of all heads, and computes all tokens of some heads (`swift_train.context_parallel`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from swift_train.causal_attention import causal_attention
from swift_train.context_parallel import attend_over_heads
from torch import nn

from swift_plugin_megatron import groups

if TYPE_CHECKING:
    from torch import Tensor


class CoreAttention(nn.Module):
    """megatron-core's core attention: from query, key and value to the weighted sum of values.

    Args:
        rotary: returns cosines and sines of positions; shared by all layers, and not registered as a submodule.
        window: number of tokens that a token attends to (sliding window); None for all before it.
    """

    def __init__(self, rotary: nn.Module, window: int | None, **_: Any) -> None:
        super().__init__()
        self._rotary, self.window = (rotary,), window

    @classmethod
    def factory(cls, rotary: nn.Module, window: int | None) -> Callable[..., CoreAttention]:
        """Return the function that a layer specification needs to build it."""
        return partial(cls, rotary, window)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_: Any) -> Tensor:
        """Return (tokens, 1, heads × dim) from (tokens, 1, heads, dim) each; `attention_mask` holds the lengths of the rows."""
        lengths = attention_mask.tolist()
        group = groups.context()
        if group.size() == 1:
            return self._attend(query, key, value, lengths)

        def attend(*states: Tensor) -> Tensor:
            q, k, v = (part.transpose(0, 1).unsqueeze(1) for part in states)
            result = self._attend(q, k, v, lengths)
            return result.reshape(*result.shape[:2], -1, query.shape[3]).squeeze(1).transpose(0, 1)

        q, k, v = (part.squeeze(1).transpose(0, 1) for part in (query, key, value))
        local = attend_over_heads(attend, q, k, v, group)
        return local.transpose(0, 1).flatten(1).unsqueeze(1)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, lengths: list[int]) -> Tensor:
        positions = torch.cat([torch.arange(length, device=query.device) for length in lengths])[None]
        cosine, sine = (part.transpose(0, 1).unsqueeze(2) for part in self._rotary[0](value, positions))
        query, key = (_rotate(part, cosine, sine) for part in (query, key))
        rows = zip(*(torch.split(part, lengths) for part in (query, key, value)), strict=True)
        results = [causal_attention(*(part.permute(1, 2, 0, 3) for part in row), window=self.window) for row in rows]
        return torch.cat([row.permute(2, 0, 1, 3).flatten(2) for row in results])


def windows_of(config: Any) -> list[int | None]:
    """Return the sliding window of each layer of a transformers configuration; None for full attention."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    if kinds is None:
        return [window] * config.num_hidden_layers
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the halves of each head by the position, as in transformers' Llama."""
    first, second = states.chunk(2, -1)
    return states * cosine + torch.cat([-second, first], -1) * sine
