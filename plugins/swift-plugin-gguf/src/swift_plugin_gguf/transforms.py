"""Weight transforms of llama.cpp's converter (`convert_hf_to_gguf.py`), as functions (tensor, config) -> tensor of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Config = Mapping[str, Any]


def interleave_queries(tensor: Tensor, config: Config) -> Tensor:
    """Permute the query projection, shape [heads * head size, …], from half-split to interleaved rotary embedding."""
    return _interleave(tensor, config["num_attention_heads"])


def interleave_keys(tensor: Tensor, config: Config) -> Tensor:
    """Permute the key projection, shape [KV heads * head size, …], from half-split to interleaved rotary embedding."""
    return _interleave(tensor, config.get("num_key_value_heads") or config["num_attention_heads"])


def add_one(tensor: Tensor, config: Config) -> Tensor:
    """Add one to a norm weight: Gemma scales by 1 + weight, GGUF readers by the weight."""
    del config
    return tensor.float() + 1


def _interleave(tensor: Tensor, heads: int) -> Tensor:
    """Interleave the rows of the two halves of each head."""
    rows = tensor.shape[0]
    return tensor.reshape(heads, 2, rows // heads // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
