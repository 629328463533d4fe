"""LongLoRA (https://arxiv.org/abs/2309.12307): LoRA, embeddings and norms, trained on long rows with shifted sparse attention (S²-Attn).

In training each token attends within its group of the row; for half of the heads, the groups are shifted by half a group, so that
information passes between them. A group that is shifted over an end of the row is cut there. Evaluation and inference use full attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from swift_train.causal_attention import attend_by_row, causal_attention, unsupported_argument
from torch import Tensor
from transformers import AttentionInterface

from swift_core.contract import UsageError
from swift_plugin_peft.tied_weights import tied_modules
from swift_plugin_peft.tuner import PeftTuner

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily
    from swift_plugin_peft.longlora_options import LongLoraOptions

_NAME = "swift_shifted_sparse"


class LongLora(PeftTuner):
    """A PeftTuner that trains embeddings and norms too, and replaces the attention of the model while it is trained."""

    options: LongLoraOptions

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Attach LoRA, and replace the attention. Raises as `PeftTuner.attach`."""
        base: Any = model
        AttentionInterface.register(_NAME, partial(attend, ratio=self.options.group_ratio))
        base.set_attn_implementation(_NAME)
        saved = [*self.options.modules_to_save, *self._trained_whole(model)]
        self.options = self.options.model_copy(update={"modules_to_save": list(dict.fromkeys(saved))})
        return super().attach(model, family)

    def _trained_whole(self, model: Any) -> Iterator[str]:
        """Yield the paths of the embeddings and the norms."""
        embeddings, tied = model.get_input_embeddings(), tied_modules(model)
        for path, module in model.named_modules():
            weights = list(module.parameters(recurse=False))
            norm = bool(weights) and all(weight.ndim == 1 for weight in weights) and not list(module.children())
            if (norm and self.options.norms) or (module is embeddings and self.options.embeddings and path not in tied):
                yield path


def attend(  # noqa: PLR0917 (the signature is transformers')
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    *,
    ratio: float,
    **more: Any,
) -> tuple[Tensor, None]:
    """Implement transformers' attention interface for one row: (1, heads, tokens, size) of each → (1, tokens, heads, size)."""
    if unsupported := unsupported_argument(more):
        message = f"shifted sparse attention does not support the '{unsupported}' of {type(module).__name__}"
        raise UsageError(message, code="TUNER-042", where="tuner", hint="Use --tuner lora.")
    settings: dict[str, Any] = {"window": sliding_window, "scale": scaling, "dropout": dropout if module.training else 0.0}
    if not module.training:
        return causal_attention(query, key, value, **settings).transpose(1, 2), None
    return shifted_sparse_attention(query, key, value, ceil(ratio * query.shape[2]), **settings).transpose(1, 2), None


def shifted_sparse_attention(query: Tensor, key: Tensor, value: Tensor, group: int, **settings: Any) -> Tensor:
    """Compute causal attention within groups of tokens; for the second half of the heads they are shifted by half a group.

    Args:
        query: (1, heads, tokens, head size).
        key, value: (1, key heads, tokens, head size).
        group: tokens of a group.
        settings: of `swift_train.causal_attention.causal_attention`.

    Returns:
        (1, heads, tokens, head size).
    """
    if key.shape[1] % 2:  # a half of the heads needs its own key heads
        times = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(times, 1) for states in (key, value))
    first, second = zip(*(states.tensor_split(2, 1) for states in (query, key, value)), strict=True)
    lengths = [_lengths(query.shape[2], group, start) for start in (group, max(1, group // 2))]
    parts = ((*half, own) for half, own in zip((first, second), lengths, strict=True))
    return torch.cat([attend_by_row(q, k, v, own, **settings) for q, k, v, own in parts], 1)


def _lengths(tokens: int, group: int, first: int) -> list[int]:
    """Return the lengths of the groups of a row, of which the first has `first` tokens."""
    found = [min(first, tokens)]
    while (left := tokens - sum(found)) > 0:
        found.append(min(group, left))
    return found
