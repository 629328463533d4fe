"""Attention of rows one after the other, each of which sees itself alone; rotary positions as transformers computes them.

With context parallelism a process has some tokens of all heads, and computes all tokens of some heads (`swift_train.context_parallel`).
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
    """What megatron-core calls core attention: from q, k and v to the sum of values.

    Args:
        rotary: gives cosines and sines of positions; one module for all layers, no part of this one.
        window: how many tokens back a token sees; None for all.
    """

    def __init__(self, rotary: nn.Module, window: int | None, **_: Any) -> None:
        super().__init__()
        self._rotary, self.window = (rotary,), window

    @classmethod
    def on(cls, rotary: nn.Module, window: int | None) -> Callable[..., CoreAttention]:
        """What a layer's specification wants: a function that builds it."""
        return partial(cls, rotary, window)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_: Any) -> Tensor:
        """(tokens, 1, heads, width) of each → (tokens, 1, heads × width); `attention_mask` holds the lengths of the rows."""
        group = groups.context()
        if group.size() == 1:
            return self._rows(query, key, value, attention_mask)

        def attend(*states: Tensor) -> Tensor:
            found = self._rows(*(part.transpose(0, 1).unsqueeze(1) for part in states), attention_mask)
            return found.unflatten(2, (-1, query.shape[3])).squeeze(1).transpose(0, 1)

        own = attend_over_heads(attend, *(part.squeeze(1).transpose(0, 1) for part in (query, key, value)), group)
        return own.transpose(0, 1).flatten(1).unsqueeze(1)

    def _rows(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor) -> Tensor:
        lengths = attention_mask.tolist()
        positions = torch.cat([torch.arange(length, device=query.device) for length in lengths])[None]
        cosine, sine = (part.transpose(0, 1).unsqueeze(2) for part in self._rotary[0](value, positions))
        query, key = (_rotated(part, cosine, sine) for part in (query, key))
        rows = zip(*(part.split(lengths) for part in (query, key, value)), strict=True)
        found = [causal_attention(*(part.permute(1, 2, 0, 3) for part in row), window=self.window) for row in rows]
        return torch.cat([row.permute(2, 0, 1, 3).flatten(2) for row in found])


def windows_of(config: Any) -> list[int | None]:
    """The window of each layer of a transformers configuration."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    if kinds is None:
        return [window] * config.num_hidden_layers
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _rotated(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Halves of each head turned by the position, as in transformers' Llama."""
    first, second = states.chunk(2, -1)
    return states * cosine + torch.cat([-second, first], -1) * sine
