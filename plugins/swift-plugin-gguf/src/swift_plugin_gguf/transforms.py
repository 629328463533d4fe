"""What llama.cpp's own converter does to weights, so that its files and ours are read alike: functions (tensor, config) -> tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Config = Mapping[str, Any]


def interleave_queries(tensor: Tensor, config: Config) -> Tensor:
    """Queries whose rotation turns neighbours, not halves."""
    return _interleave(tensor, config["num_attention_heads"])


def interleave_keys(tensor: Tensor, config: Config) -> Tensor:
    """Keys whose rotation turns neighbours, not halves."""
    return _interleave(tensor, config.get("num_key_value_heads") or config["num_attention_heads"])


def add_one(tensor: Tensor, config: Config) -> Tensor:
    """Gemma's norms scale by one more than their weight; GGUF's by the weight."""
    del config
    return tensor.float() + 1


def _interleave(tensor: Tensor, heads: int) -> Tensor:
    """The two halves of each head's rows, one by one in turn."""
    rows = tensor.shape[0]
    return tensor.reshape(heads, 2, rows // heads // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
