"""Attention of the rows of a micro-batch, each over its own tokens, without a mask of all tokens by all tokens.

transformers' `sdpa` and `eager` get a mask of (tokens, tokens) for several rows, and compute the scores between rows only to discard them.
Here the first kernel is taken that computes the attention (`Kernel`): FlashAttention with the boundaries of the rows
(`torch.nn.attention.varlen`), FlexAttention with a mask of blocks (`swift_train.flex_rows`), blocks of queries in float32 on a CPU
(`swift_train.blocked_attention`), and else one row after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import AttentionInterface

from swift_train import blocked_attention, flex_rows
from swift_train.causal_attention import attend_by_row, attend_by_segment, unsupported_argument
from swift_train.onednn_matmul import use_onednn_matmul
from swift_train.shared_prefixes import SharedPrefixes

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

IMPLEMENTATION = "swift_rows"
_MAX_HEAD_SIZE = 256  # of FlashAttention 2
_CAPABILITY = (8, 0)  # of CUDA that it needs: Ampere
_SUPPORTED = ("softcap", "s_aux")  # arguments of attention functions that are passed on


class Kernel(Enum):
    """What computes the attention of rows."""

    FLASH = "FlashAttention with the boundaries of rows"
    FLEX = "FlexAttention with a mask of blocks"
    BLOCKS = "blocks of queries"
    BY_ROW = "row by row"


_TAKEN = "attention_kernel"  # attribute of a layer


class RowAttentionUnsupported(Exception):
    """The attention has a feature that is not implemented here; the message names it."""


def applies_to(model: PreTrainedModel) -> bool:
    """Return whether the model's attention may be replaced: a model of text alone whose attention is transformers' `sdpa` or `eager`."""
    return model.config._attn_implementation in ("sdpa", "eager") and not model.config.sub_configs


def install(model: PreTrainedModel, implementation: str = IMPLEMENTATION) -> bool:
    """Set the attention implementation of a model, by default to the one of this module; return whether it has one that can be set."""
    AttentionInterface.register(IMPLEMENTATION, attend)
    model.set_attn_implementation(implementation)
    return bool(model.config._attn_implementation == implementation)


def kernels_of(model: PreTrainedModel) -> list[str]:
    """Return what computed the attention of the layers in their last pass."""
    return sorted({vars(part)[_TAKEN].value for part in model.modules() if _TAKEN in vars(part)})


def attend(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    shared_prefixes: SharedPrefixes | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Compute causal attention within each row, as an attention function of transformers (`AttentionInterface`).

    Args:
        module: the attention layer.
        query: (1, heads, tokens, head size).
        key: (1, key-value heads, tokens, head size).
        value: as `key`.
        attention_mask: None.
        dropout: probability, applied to the attention weights.
        scaling: factor of the scores; None for 1 / sqrt(head size).
        sliding_window: number of tokens that a token attends to, including itself; None for all.
        softcap: scores s become softcap · tanh(s / softcap); None for none.
        s_aux: (heads,), attention sinks: the score of a token without a value that every token attends to; None for none.
        cu_seq_lens_q: (rows + 1,) int32, where each row begins, and the number of tokens; None for a single row.
        max_length_q: tokens of the longest row.
        shared_prefixes: if rows share tokens: `cu_seq_lens_q` are the boundaries of segments of rows, and this tells what each continues.
        more: other arguments of the model's attention.

    Returns:
        The output, (1, tokens, heads, head size), and None in place of the attention weights.

    Raises:
        RowAttentionUnsupported: the attention is not causal, has a mask, or has an argument that is not implemented here.
    """
    named = unsupported_argument(more, _SUPPORTED) or ("attention_mask" if attention_mask is not None else "")
    if named or not getattr(module, "is_causal", True):
        raise RowAttentionUnsupported(f"its attention uses '{named or 'later tokens'}'")
    scored: dict[str, Any] = {"cap": softcap, "sinks": s_aux}
    plain = not softcap and s_aux is None
    kernel = Kernel.BY_ROW if dropout or cu_seq_lens_q is None else _kernel(query, value, plain=plain, whole=shared_prefixes is None)
    vars(module)[_TAKEN] = kernel
    if kernel is Kernel.FLASH and cu_seq_lens_q is not None and max_length_q is not None:
        window = (sliding_window - 1 if sliding_window else -1, 0)
        output = _by_kernel((query, key, value), cu_seq_lens_q, max_length_q, shared_prefixes, scale=scaling, window_size=window)
        return output[None], None
    if kernel is Kernel.FLEX and cu_seq_lens_q is not None:
        output = flex_rows.attend(query, key, value, cu_seq_lens_q, window=sliding_window, scale=scaling, **scored)
        return output.transpose(1, 2).contiguous(), None
    lengths: Sequence[int] = [query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.diff().tolist()
    rows = SharedPrefixes.whole(lengths) if shared_prefixes is None else shared_prefixes
    if plain and not dropout and blocked_attention.applies(query, key, value, rows.longest) and use_onednn_matmul():
        vars(module)[_TAKEN] = Kernel.BLOCKS
        return blocked_attention.blocked_attention(query, key, value, rows, window=sliding_window, scale=scaling), None
    if shared_prefixes is not None:
        output = attend_by_segment(query, key, value, rows, window=sliding_window, scale=scaling, dropout=dropout, **scored)
    else:
        output = attend_by_row(query, key, value, lengths, window=sliding_window, scale=scaling, dropout=dropout, **scored)
    return output.transpose(1, 2).contiguous(), None


def _kernel(query: Tensor, value: Tensor, *, plain: bool, whole: bool) -> Kernel:
    """Return what computes these queries and values.

    Args:
        plain: without capped scores and sinks.
        whole: the rows share no tokens.
    """
    if plain and _has_flash(query, value):
        return Kernel.FLASH
    return Kernel.FLEX if whole and flex_rows.computes(query) else Kernel.BY_ROW


def _by_kernel(
    states: tuple[Tensor, Tensor, Tensor], bounds: Tensor, longest: int, prefixes: SharedPrefixes | None, **options: Any
) -> Tensor:
    """Return the output of the variable-length kernel, (tokens, heads, head size); the queries of a row or segment are its last tokens."""
    from torch.nn.attention.varlen import varlen_attn

    queries, keys, values = (part[0].transpose(0, 1) for part in states)
    grouped, bounds_of_keys, longest_keys = queries.shape[1] != keys.shape[1], bounds, longest
    if prefixes is not None:
        index, bounds_of_keys, longest_keys = _attended(prefixes, keys.device)
        keys, values = keys[index], values[index]
    packed = varlen_attn(queries, keys, values, bounds, bounds_of_keys, longest, longest_keys, enable_gqa=grouped, **options)
    return cast("Tensor", packed)


@lru_cache(maxsize=2)  # of a micro-batch, for all layers
def _attended(prefixes: SharedPrefixes, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """Return the places of the tokens that each segment attends to, the boundaries of segments among them, and the largest number."""
    places = [[token for each in slices for token in range(each.start, each.stop)] for _, slices in prefixes.key_slices()]
    index = torch.tensor([token for place in places for token in place], device=device)
    bounds = torch.tensor([0, *accumulate(map(len, places))], dtype=torch.int32, device=device)
    return index, bounds, max(map(len, places))


def _has_flash(query: Tensor, value: Tensor) -> bool:
    """Return whether the variable-length kernel computes these queries and values."""
    return (
        query.is_cuda
        and torch.cuda.get_device_capability(query.device) >= _CAPABILITY
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] == value.shape[-1] <= _MAX_HEAD_SIZE
        and hasattr(torch.nn.attention, "varlen")
    )
