"""Sequences of different lengths in one forward pass, each with a cache of its own.

The new tokens of all sequences stand in one row behind each other, so that everything but attention is one matrix product over all of
them, without padding. Attention then looks at each sequence alone: its queries against its own cached keys and values.
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
    """The keys and values of one sequence, layer by layer, with room for `room` tokens. `length` tokens are in it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.length = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def bytes_per_token(self) -> float:
        """Memory that a token takes in all layers together."""
        return sum(part.nbytes for pair in self._layers.values() for part in pair) / self.room

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put the new tokens' keys and values, (heads, tokens, size), behind the `length` that are there; all of them are returned."""
        if layer not in self._layers:
            self._layers[layer] = tuple(part.new_empty(part.shape[0], self.room, part.shape[2]) for part in (keys, values))  # type: ignore[assignment]
        end = self.length + keys.shape[1]
        for kept, new in zip(self._layers[layer], (keys, values), strict=True):
            kept[:, self.length : end] = new
        kept_keys, kept_values = self._layers[layer]
        return kept_keys[:, :end], kept_values[:, :end]

    def copy_from(self, other: SequenceCache, length: int) -> None:
        """Begin with the first `length` tokens of another row."""
        for layer, (keys, values) in other._layers.items():
            self.extend(layer, keys[:, :length], values[:, :length])
        self.length = length

    def trim(self) -> None:
        """Give back the room that is not used; layer by layer, so that it takes no memory on the way."""
        self.room = self.length
        for layer, pair in self._layers.items():
            self._layers[layer] = tuple(part[:, : self.length].clone() for part in pair)  # type: ignore[assignment]


class Uncached(SequenceCache):
    """A sequence that is read in one pass and not gone on with: nothing of it is kept."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All that there is."""
        return keys, values


class VarlenUnsupported(Exception):
    """The model does something in its attention that rows can't."""


def install(model: Any) -> None:
    """Make the model's attention look at each row alone in `forward`."""
    AttentionInterface.register(IMPLEMENTATION, attend)
    model.set_attn_implementation(IMPLEMENTATION)


def forward(model: Any, parts: Sequence[tuple[SequenceCache, Sequence[int]]], *, every: bool = False, **more: Any) -> Any:
    """The model's output for new tokens of several rows, which are in the rows' caches afterwards.

    Args:
        model: one that `install` was called on.
        parts: each row, and its new tokens.
        every: logits of all new tokens, one row after the other; otherwise of each row's last one.
        more: further arguments of the model.
    """
    device = model.device
    counts = [len(tokens) for _, tokens in parts]
    ends = torch.tensor(counts).cumsum(0) - 1
    output = model(
        input_ids=torch.tensor([[token for _, tokens in parts for token in tokens]], device=device),
        position_ids=torch.tensor([[row.length + at for row, tokens in parts for at in range(len(tokens))]], device=device),
        use_cache=False,
        rows=[(row, count) for (row, _), count in zip(parts, counts, strict=True)],
        logits_to_keep=0 if every else ends.to(device),
        **more,
    )
    for (row, _), count in zip(parts, counts, strict=True):
        row.length += count
    return output


def attend(  # noqa: PLR0917 (transformers calls it so)
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    rows: Sequence[tuple[SequenceCache, int]] | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query, key and value are (1, heads, tokens of all rows, size)."""
    if rows is None:  # a part of the model that sees no text, such as a vision tower
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **more)
    if found := unsupported_argument(more):
        raise VarlenUnsupported(f"its attention has '{found}'")
    output = query.new_empty(1, query.shape[2], query.shape[1], value.shape[-1])
    begin = 0
    for row, count in rows:
        end = begin + count
        keys, values = row.extend(module.layer_idx, key[0, :, begin:end], value[0, :, begin:end])  # type: ignore[arg-type]
        output[0, begin:end] = _attend_row(query[:, :, begin:end], keys[None], values[None], scaling, sliding_window)
        begin = end
    return output, None


def _attend_row(query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None) -> Tensor:
    """One row's attention, (tokens, heads, size)."""
    if query.shape[2] == 1:  # heads that share keys are queries of one head: nothing is repeated
        if window:
            keys, values = keys[:, :, -window:], values[:, :, -window:]
        grouped = query.reshape(1, keys.shape[1], -1, query.shape[-1])
        return scaled_dot_product_attention(grouped, keys, values, scale=scaling).reshape(1, -1, values.shape[-1])
    return causal_attention(query, keys, values, window=window, scale=scaling)[0].transpose(0, 1)


@torch.inference_mode()
def probe(model: Any) -> float:
    """See that rows give what the model's own attention gives, and `install` them; bytes that a token takes in memory.

    Raises:
        VarlenUnsupported: they don't; the model is as it was.
    """
    own = model.config._attn_implementation
    prompts = [[1, 2, 3, 4, 5, 6], [6, 5, 4]]
    try:
        expected = [model(input_ids=torch.tensor([[*prompt, 2]], device=model.device)).logits[0, -1].float() for prompt in prompts]
        install(model)
        rows = [SequenceCache(8), SequenceCache(8)]
        forward(model, list(zip(rows, prompts, strict=True)))
        got = forward(model, [(row, [2]) for row in rows]).logits[0].float()
        far = max(float((one - other).norm() / (one - one.mean()).norm()) for one, other in zip(expected, got, strict=True))
        if far < (1e-3 if model.dtype == torch.float32 else 0.1):
            return rows[0].bytes_per_token
        why = f"its answers are other ones there (by {far:.1%})"
    except Exception as error:  # whatever a model's own code does with arguments that it does not know
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    model.set_attn_implementation(own)
    raise VarlenUnsupported(why)
