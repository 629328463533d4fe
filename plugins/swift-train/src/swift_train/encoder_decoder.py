"""Encoder-decoder language models (T5, BART) in the training loop: a row is its source, for the encoder, and its target, for the decoder.

Rows stay concatenated, as those of every other model: the tokens of the source, then those of the target, and the column `SECOND` has the
index of the first token of the target. For the forward pass they are split, padded and masked; the logits that predict a token are
returned at the place before it, where a decoder has them. A sequence without a target is its own, as in transformers' BART.
"""

from __future__ import annotations

from inspect import signature
from itertools import pairwise
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_START = "decoder_start_token_id"
_OF_THE_DECODER = ("decoder_input_ids", "decoder_inputs_embeds", "encoder_outputs", "labels")


def is_encoder_decoder(model: Any) -> bool:
    """Return whether a transformers model is an encoder-decoder language model."""
    config = getattr(model, "config", None)
    return bool(getattr(config, "is_encoder_decoder", False)) and model.get_output_embeddings() is not None


def accept_concatenated(model: Any, pad_token_id: int) -> None:
    """Let a forward pass take concatenated sources and targets, with `logits_to_keep`; calls with inputs of the decoder stay as they are.

    Args:
        model: an encoder-decoder language model of transformers, on any device.
        pad_token_id: of its tokenizer; transformers' own needs one in the configuration.
    """
    start_token(model, pad_token_id)
    model.forward = MethodType(_forward, model)


def start_token(model: Any, pad_token_id: int) -> int:
    """Return the id of the decoder's start token, and set it in the model's configuration; `pad_token_id` is that of its tokenizer."""
    config, generation = model.config, model.generation_config
    own = [getattr(each, name, None) for each, name in ((config, _START), (generation, _START), (config, "pad_token_id"))]
    start = next((token for token in own if token is not None), pad_token_id)
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = pad_token_id
    config.decoder_start_token_id = start  # some models read it there, though their checkpoints have it among the generation's settings
    return int(start)


def _forward(
    self: Any,
    input_ids: Tensor | None = None,
    *,
    logits_to_keep: Tensor | None = None,
    position_ids: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    **arguments: Any,
) -> Any:
    """Run the model on rows of (1, tokens), and return its logits at these places, (1, places, vocabulary)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers.modeling_outputs import Seq2SeqLMOutput

    given = {name: value for name, value in arguments.items() if value is not None}
    if input_ids is None or len(input_ids) != 1 or any(name in given for name in _OF_THE_DECODER):
        return type(self).forward(self, input_ids, **given)
    tokens, padding = input_ids[0], self.config.pad_token_id
    starts = [0] if position_ids is None else (position_ids[0] == 0).nonzero().squeeze(1).tolist()
    lengths = [end - start for start, end in pairwise([*starts, len(tokens)])]
    types = [None] * len(lengths) if token_type_ids is None else torch.split(token_type_ids[0], lengths)
    firsts = [0 if kind is None or not kind.any() else len(kind) - int(kind.sum()) for kind in types]
    rows = list(zip(torch.split(tokens, lengths), firsts, strict=True))
    sources = pad_sequence([row[: first or None] for row, first in rows], batch_first=True, padding_value=padding)
    mask = pad_sequence([torch.ones_like(row[: first or None]) for row, first in rows], batch_first=True)
    end = tokens.new_tensor([padding])  # what follows the last token is predicted too, as by a decoder
    targets = pad_sequence([torch.cat([row[first:], end]) for row, first in rows], batch_first=True, padding_value=padding)
    more = {"use_cache": False} if "use_cache" in signature(type(self).forward).parameters else {}
    output = type(self).forward(self, sources, attention_mask=mask, decoder_input_ids=shifted(self, targets), **more)
    kept = torch.arange(len(tokens), device=tokens.device) if logits_to_keep is None else logits_to_keep
    ends = torch.tensor([start + length for start, length in zip(starts, lengths, strict=True)], device=tokens.device)
    number = torch.searchsorted(ends, kept, right=True)
    begin = torch.tensor([start + first for start, first in zip(starts, firsts, strict=True)], device=tokens.device)
    return Seq2SeqLMOutput(logits=output.logits[number, (kept + 1 - begin[number]).clamp(min=0)][None])


def shifted(model: Any, targets: Tensor) -> Tensor:
    """Return the decoder's inputs for targets, (rows, tokens) both: shifted right by one, each architecture in its own way."""
    import torch

    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        made: Tensor = model.prepare_decoder_input_ids_from_labels(targets)
        return made
    return torch.cat([torch.full_like(targets[:, :1], model.config.decoder_start_token_id), targets[:, :-1]], 1)
