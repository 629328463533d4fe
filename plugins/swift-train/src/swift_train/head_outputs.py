"""The numbers that a model with a head gives for texts, in padded batches: vectors, the logits of classes, or scores.

Padding is on the right and masked, so that it changes nothing, in decoders and in encoders that attend both ways.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from swift_train.adapters import inner_model, takes_logits_to_keep

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.head_inputs import ServedHead
    from swift_train.pair_texts import Pair


def pooled(states: Tensor, mask: Tensor, mode: str) -> Tensor:
    """Return a vector of each row, (rows, size) float32.

    Args:
        states: last hidden states, (rows, tokens, size), padded on the right.
        mask: (rows, tokens) int64, 1 for tokens and 0 for padding.
        mode: mean, cls or lasttoken, as in `Pooling`.
    """
    states, rows = states.float(), torch.arange(len(states), device=states.device)
    if mode == "mean":
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return states[:, 0] if mode == "cls" else states[rows, mask.sum(1) - 1]


class HeadOutputs:
    """Computes the numbers of texts.

    Args:
        model: the loaded model, possibly wrapped by a tuner.
        pad_token_id: of its tokenizer.
    """

    def __init__(self, model: Any, pad_token_id: int) -> None:
        self.model, self._padding = model, pad_token_id
        parameters = inspect.signature(type(inner_model(model)).forward).parameters
        self._types = "token_type_ids" in parameters

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[Pair], head: ServedHead) -> Tensor:
        """Return the numbers of each text, (texts, numbers) float32: a vector, or logits; of a token classifier (texts, tokens, numbers).

        Args:
            inputs: the tokens of each text; the memory of the pass grows with their number times the longest.
            head: which numbers.
        """
        inner = inner_model(self.model)
        lengths = torch.tensor([len(each.ids) for each in inputs], device=inner.device)
        mask = (torch.arange(int(lengths.max()), device=inner.device) < lengths[:, None]).long()
        ids = torch.full(mask.shape, self._padding, device=inner.device)
        for row, each in enumerate(inputs):
            ids[row, : len(each.ids)] = torch.tensor(each.ids, device=inner.device)
        more: dict[str, Tensor] = {}
        if self._types and any(each.second for each in inputs):
            second = torch.tensor([each.second or len(each.ids) for each in inputs], device=inner.device)
            more["token_type_ids"] = (torch.arange(mask.shape[1], device=inner.device) >= second[:, None]).long() * mask
        if head.kind == "hidden":
            states = self.model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
            vectors = pooled(states, mask, head.pooling.mode if head.pooling else "lasttoken")
            return normalize(vectors, dim=-1) if head.pooling is None or head.pooling.normalized else vectors
        if head.logit_score:
            return self._token_scores(ids, mask, head)
        logits: Tensor = self.model(input_ids=ids, attention_mask=mask, **more).logits
        return logits.float()

    def _token_scores(self, ids: Tensor, mask: Tensor, head: ServedHead) -> Tensor:
        """Return the logit of the token for relevant pairs minus that of the other one, after each row, (rows, 1)."""
        assert head.logit_score
        rows, last = torch.arange(len(ids), device=ids.device), mask.sum(1) - 1
        if takes_logits_to_keep(self.model):
            kept, place = torch.unique(last, return_inverse=True)
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits[rows, place]
        else:
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[rows, last]
        scores: Tensor = logits[:, head.logit_score.true_token_id].float()
        if head.logit_score.false_token_id is not None:
            scores = scores - logits[:, head.logit_score.false_token_id].float()
        return scores[:, None]


def activated(logits: Tensor, head: ServedHead) -> Tensor:
    """Apply the activation of a head to its logits, (texts, numbers)."""
    kind = "sigmoid" if head.logit_score else head.facts.activation
    return logits if kind == "none" else torch.sigmoid(logits) if kind == "sigmoid" else torch.softmax(logits, -1)
