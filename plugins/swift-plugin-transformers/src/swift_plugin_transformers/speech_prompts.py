"""Prompts of speech-to-text encoder-decoders: the features of one recording, and the tokens with which the decoder begins a transcript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swift_train.media.placeholders import text_beside

from swift_core.contract import UsageError
from swift_plugin_transformers.media_sources import MediaPrompt

if TYPE_CHECKING:
    from swift_train.media.processor import Content, MediaProcessor

_SETTINGS = ("language", "task")  # of Whisper's tokenizer


def speech_prompt(
    tokenizer: Any,
    media: MediaProcessor,
    messages: Sequence[Mapping[str, Any]],
    contents: Sequence[Content],
    *,
    variables: Mapping[str, Any],
    start: int,
) -> MediaPrompt:
    """Return the prompt of a request.

    Args:
        tokenizer: of the model.
        media: makes the features.
        messages: of the request; the audio is in one of them, and there is no text.
        contents: their decoded audio.
        variables: `language` and `task`, for a tokenizer that has them.
        start: id of the decoder's start token.

    Raises:
        UsageError: there is not one recording alone; the tokenizer does not know the language or the task.
    """
    if len(contents) != 1 or (text := text_beside(messages)):
        found = f"{len(contents)} recordings" if len(contents) != 1 else f"the text {text[:40]!r}"
        hint = "Send one message with an input_audio part, or the file to /v1/audio/transcriptions."
        raise UsageError(
            f"this model writes down one recording, and the request has {found}", code="MODEL-066", where="messages", hint=hint
        )
    return MediaPrompt(prefix_ids(tokenizer, start, variables), media.tensors(contents))


def prefix_ids(tokenizer: Any, start: int, variables: Mapping[str, Any]) -> list[int]:
    """Return the tokens with which a transcript begins: the start token, and those that the tokenizer puts ahead of a text."""
    unknown = [name for name in variables if name not in _SETTINGS or not hasattr(tokenizer, "set_prefix_tokens")]
    if unknown:
        raise UsageError(f"this model has no setting '{unknown[0][:50]}'", code="MODEL-067", where=unknown[0], hint="Leave it out.")
    before = {name: getattr(tokenizer, name, None) for name in _SETTINGS}
    try:
        if variables:
            tokenizer.set_prefix_tokens(**variables)
        ids = list(tokenizer(text_target="", verbose=False)["input_ids"])
    except ValueError as error:
        raise UsageError(
            f"the tokenizer refuses this setting: {error}", code="MODEL-068", where=next(iter(variables)), hint="Name one of these."
        ) from None
    finally:
        if variables:
            tokenizer.language, tokenizer.task = before["language"], before["task"]
            tokenizer.set_prefix_tokens()
    ids = ids[:-1] if ids[-1:] == [tokenizer.eos_token_id] else ids
    return ids if ids[:1] == [start] else [start, *ids]
