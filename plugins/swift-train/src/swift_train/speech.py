"""Speech-to-text encoder-decoders (Whisper, Moonshine) in the training loop: a row is what the decoder reads, beside its audio.

The tokens of a row are the decoder's inputs: its start token, then the tokens of the target. The encoder reads the features of the row's
audio. Rows stay concatenated, as those of every other model, and are padded for the forward pass.
"""

from __future__ import annotations

from itertools import pairwise
from types import MethodType
from typing import TYPE_CHECKING, Any

from swift_train.encoder_decoder import is_encoder_decoder, start_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_FEATURES = ("input_features", "input_values")  # transformers' names for the encoder's input of models that hear
_SILENCE = "swift_silence"
_OF_THE_DECODER = ("decoder_input_ids", "decoder_inputs_embeds", "encoder_outputs", "labels")


def hears(model: Any) -> bool:
    """Return whether a transformers model is an encoder-decoder whose encoder reads audio."""
    return is_encoder_decoder(model) and getattr(model, "main_input_name", "") in _FEATURES


def accept_transcripts(model: Any, silence: Mapping[str, Tensor], pad_token_id: int) -> None:
    """Let a forward pass take concatenated rows of the decoder, with `logits_to_keep`; calls with inputs of the decoder stay as they are.

    Args:
        model: a model that `hears`, on any device.
        silence: arguments of a short silent recording, (1, …) each, for rows without audio.
        pad_token_id: of its tokenizer.
    """
    start_token(model, pad_token_id)
    setattr(model, _SILENCE, dict(silence))
    model.forward = MethodType(_forward, model)


def silence_of(model: Any) -> Mapping[str, Tensor]:
    """Return the silent recording of a model that accepts transcripts."""
    found: Mapping[str, Tensor] = getattr(model, _SILENCE)
    return found


def _forward(
    self: Any,
    input_ids: Tensor | None = None,
    *,
    logits_to_keep: Tensor | None = None,
    position_ids: Tensor | None = None,
    **arguments: Any,
) -> Any:
    """Run the model on rows of (1, tokens), and return its logits at these places, (1, places, vocabulary)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers.modeling_outputs import Seq2SeqLMOutput

    given = {name: value for name, value in arguments.items() if value is not None}
    if input_ids is None or any(name in given for name in _OF_THE_DECODER):
        return type(self).forward(self, **given)
    tokens, silence = input_ids[0], silence_of(self)
    starts = [0] if position_ids is None else (position_ids[0] == 0).nonzero().squeeze(1).tolist()
    lengths = [end - start for start, end in pairwise([*starts, len(tokens)])]
    audio = {name: given[name] for name in silence if name in given}
    if self.main_input_name not in audio:
        audio = {name: value.expand(len(lengths), *value.shape[1:]) for name, value in silence.items()}
    audio = {name: value.to(tokens.device, self.dtype if value.is_floating_point() else None) for name, value in audio.items()}
    ids = pad_sequence(list(torch.split(tokens, lengths)), batch_first=True, padding_value=self.config.pad_token_id)
    output = type(self).forward(self, **audio, decoder_input_ids=ids, use_cache=False)
    kept = torch.arange(len(tokens), device=tokens.device) if logits_to_keep is None else logits_to_keep
    ends = torch.tensor([start + length for start, length in zip(starts, lengths, strict=True)], device=tokens.device)
    number = torch.searchsorted(ends, kept, right=True)
    return Seq2SeqLMOutput(logits=output.logits[number, kept - torch.tensor(starts, device=tokens.device)[number]][None])
