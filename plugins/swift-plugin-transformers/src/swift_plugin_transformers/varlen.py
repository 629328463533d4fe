"""Forward pass over sequences of different lengths without padding, each with its own key-value cache.

The new tokens of all sequences are concatenated, so that everything except attention is one matrix product over all of them. Attention is
computed per sequence: its queries against its own cached keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from swift_train.causal_attention import causal_attention, unsupported_argument
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

IMPLEMENTATION = "swift_varlen"


class SequenceCache:
    """Keys and values of one sequence in all layers, with memory for `capacity` tokens, of which `length` are filled."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def bytes_per_token(self) -> float:
        """Bytes per token, of all layers together."""
        return sum(part.nbytes for pair in self._layers.values() for part in pair) / self.capacity

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values of new tokens, (heads, new tokens, head size); return those of all tokens, (heads, tokens, head size)."""
        if layer not in self._layers:
            self._layers[layer] = tuple(part.new_empty(part.shape[0], self.capacity, part.shape[2]) for part in (keys, values))  # type: ignore[assignment]
        end = self.length + keys.shape[1]
        for cached, new in zip(self._layers[layer], (keys, values), strict=True):
            cached[:, self.length : end] = new
        cached_keys, cached_values = self._layers[layer]
        return cached_keys[:, :end], cached_values[:, :end]

    def copy_from(self, other: SequenceCache, length: int) -> None:
        """Fill the empty cache with the first `length` tokens of another one."""
        for layer, (keys, values) in other._layers.items():
            self.extend(layer, keys[:, :length], values[:, :length])
        self.length = length

    def trim(self) -> None:
        """Free the unused memory, layer by layer, so that the peak is one copy of one layer."""
        self.capacity = self.length
        for layer, pair in self._layers.items():
            self._layers[layer] = tuple(part[:, : self.length].clone() for part in pair)  # type: ignore[assignment]


class NoCache(SequenceCache):
    """A sequence that is computed in a single pass, so that nothing is cached."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values unchanged."""
        return keys, values


class VarlenUnsupported(Exception):
    """The model's attention can't be computed per sequence."""


def install(model: Any) -> None:
    """Set the model's attention implementation to the per-sequence one, which `forward` needs."""
    AttentionInterface.register(IMPLEMENTATION, attend)
    model.set_attn_implementation(IMPLEMENTATION)


def forward(model: Any, parts: Sequence[tuple[SequenceCache, Sequence[int]]], *, rows: Sequence[int] = (), **more: Any) -> Any:
    """Run the model on the new tokens of several sequences and append them to the sequences' caches.

    Args:
        model: a model that `install` was called on.
        parts: each sequence's cache, and its new tokens.
        rows: the number of last tokens of each sequence whose logits are computed, which are concatenated; by default one each.
        more: further arguments of the model.

    Returns:
        The model's output; its logits have the shape (1, positions, vocabulary).
    """
    device = model.device
    counts = [len(tokens) for _, tokens in parts]
    ends = torch.tensor(counts).cumsum(0).tolist()
    kept = [place for end, number in zip(ends, rows or [1] * len(ends), strict=True) for place in range(end - number, end)]
    output = model(
        input_ids=torch.tensor([[token for _, tokens in parts for token in tokens]], device=device),
        position_ids=torch.tensor([[cache.length + index for cache, tokens in parts for index in range(len(tokens))]], device=device),
        use_cache=False,
        sequences=[(cache, count) for (cache, _), count in zip(parts, counts, strict=True)],
        logits_to_keep=torch.tensor(kept, device=device),
        **more,
    )
    for (cache, _), count in zip(parts, counts, strict=True):
        cache.length += count
    return output


def attend(  # noqa: PLR0917 (the signature of transformers' attention interface)
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sequences: Sequence[tuple[SequenceCache, int]] | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Compute attention per sequence, as an attention function of transformers (`AttentionInterface`).

    Args:
        module: the attention layer; `layer_idx` is its index.
        query: (1, heads, tokens of all sequences, head size).
        key: (1, key-value heads, tokens of all sequences, head size).
        value: as `key`.
        attention_mask: unused.
        dropout: unused.
        scaling: factor of the logits; None: 1 / sqrt(head size).
        sequences: each sequence's cache and number of new tokens.
        sliding_window: number of preceding tokens that a token attends to; None: all.
        more: other arguments of the model's attention.

    Returns:
        The output, (1, tokens, heads, head size), and None in place of the attention weights.

    Raises:
        VarlenUnsupported: the attention has a feature that is not implemented here.
    """
    if sequences is None:  # a part of the model that processes no text, such as a vision tower
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **more)
    if found := unsupported_argument(more):
        raise VarlenUnsupported(f"its attention uses '{found}'")
    output = query.new_empty(1, query.shape[2], query.shape[1], value.shape[-1])
    begin = 0
    for cache, count in sequences:
        end = begin + count
        keys, values = cache.extend(module.layer_idx, key[0, :, begin:end], value[0, :, begin:end])  # type: ignore[arg-type]
        output[0, begin:end] = _attend_sequence(query[:, :, begin:end], keys[None], values[None], scaling, sliding_window)
        begin = end
    return output, None


def _attend_sequence(query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None) -> Tensor:
    """Return the attention output of one sequence, (tokens, heads, head size)."""
    if query.shape[2] == 1:  # grouped heads become queries of one key-value head, so that no key is repeated
        if window:
            keys, values = keys[:, :, -window:], values[:, :, -window:]
        grouped = query.reshape(1, keys.shape[1], -1, query.shape[-1])
        return scaled_dot_product_attention(grouped, keys, values, scale=scaling).reshape(1, -1, values.shape[-1])
    return causal_attention(query, keys, values, window=window, scale=scaling)[0].transpose(0, 1)


@torch.inference_mode()
def probe(model: Any) -> float:
    """Check that per-sequence attention gives the logits of the model's own attention, and `install` it.

    Returns:
        Bytes of key-value cache per token.

    Raises:
        VarlenUnsupported: the logits differ or the pass fails; the model is left unchanged.
    """
    original = model.config._attn_implementation
    prompts = [[1, 2, 3, 4, 5, 6], [6, 5, 4]]
    try:
        expected = [model(input_ids=torch.tensor([[*prompt, 2]], device=model.device)).logits[0, -1].float() for prompt in prompts]
        install(model)
        caches = [SequenceCache(8), SequenceCache(8)]
        forward(model, list(zip(caches, prompts, strict=True)))
        logits = forward(model, [(cache, [2]) for cache in caches]).logits[0].float()
        error = max(float((one - other).norm() / (one - one.mean()).norm()) for one, other in zip(expected, logits, strict=True))
        if error < (1e-3 if model.dtype == torch.float32 else 0.1):
            return caches[0].bytes_per_token
        reason = f"its logits differ by {error:.1%}"
    except Exception as failure:  # a model's own code may fail in any way on arguments that it does not know
        reason = str(failure).strip().splitlines()[0] if str(failure).strip() else type(failure).__name__
    model.set_attn_implementation(original)
    raise VarlenUnsupported(reason)
