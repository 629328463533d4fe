"""Conversations as transcripts: the audio of a user message for the encoder, and the answer for the decoder.

A transcript has the special tokens that the tokenizer gives it: Whisper's start token, its language, its task and its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.rows import ChatRow, normalise

from swift_core.contract import UsageError
from swift_train.mask_check import MaskError
from swift_train.media.placeholders import text_beside
from swift_train.score_task import PlainUnread, plain_text
from swift_train.tokenise import Encoded, MediaSpan, Span, SupervisedText, Tokeniser

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_train.media.rows import RowMedia
    from swift_train.options import SupervisedOptions


class TranscriptTokeniser(Tokeniser):
    """Tokenise transcripts as the decoder's inputs, all of which but the start token are supervised.

    Args:
        tokenizer: fast.
        start: id of the decoder's start token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int) -> None:
        super().__init__(tokenizer)
        self._start = start

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each text."""
        tokenizer: Any = self.tokenizer
        targets = tokenizer(text_target=[text.text for text in texts], verbose=False)["input_ids"] if texts else []
        return [[self._encoded(text, list(target))] for text, target in zip(texts, targets, strict=True)]

    def _encoded(self, text: SupervisedText, target: list[int]) -> Encoded:
        ids = target if target[:1] == [self._start] else [self._start, *target]
        if self._end is not None and ids[-1] != self._end:
            ids = [*ids, self._end]
        media = tuple(MediaSpan(0, 1, place.file) for place in text.media)
        return Encoded(np.array(ids, np.int32), (Span(1, len(ids), text.spans[0].weight),), media=media)


class SpeechEncoder:
    """Encode chat rows for a model that turns speech into text: an audio file in a user message, and the answer.

    Args:
        tokenizer: fast.
        options: of the task.
        media: the model's processor, and where the files are.
        start: id of the decoder's start token.

    Raises:
        UsageError: options that such a model can't have.
    """

    rows, grouped, columns = "chat", False, ()

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: SupervisedOptions, media: RowMedia, start: int) -> None:
        _check(options)
        self.tokeniser: Tokeniser = TranscriptTokeniser(tokenizer, start)
        self.unread: Any = PlainUnread(tokenizer)
        self._media = media
        prefix = tokenizer(text_target="", verbose=False)["input_ids"]
        assert media.processor is not None
        self.settings: Mapping[str, Any] = {
            "rows": "transcripts", "start": start, "prefix": prefix, "processor": media.processor.settings,
        }  # fmt: skip

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the transcript of the row's audio.

        Raises:
            UsageError: the row is not one audio file with its transcript.
        """
        row = normalise(raw, ("chat",), media_folder=self._media.folder)
        assert isinstance(row, ChatRow)
        asked, answer = row.messages[:-1], row.messages[-1]
        files = self._media.files(row.messages)
        if len(files) != 1 or answer["role"] != "assistant" or not isinstance(answer["content"], str):
            message = f"a row of this model is one audio file with its transcript, and this one has {len(files)} audio files"
            raise UsageError(
                message, code="TRAIN-283", hint='Write {"messages": [user: "<audio>", assistant: the text], "audios": [FILE]}.'
            )
        if text := text_beside(asked):
            problem = f"this model reads nothing but audio, and the row has a text beside it: {text[:40]!r}"
            raise UsageError(problem, code="TRAIN-284", hint="Remove it: the content of the user message is <audio>.")
        self.unread.add(replace(row, messages=(answer,)))
        transcript = plain_text([answer])
        span = Span(0, len(transcript), float(answer.get("loss_scale", 1.0)))
        return [SupervisedText(transcript, (span,), media=(MediaSpan(0, 0, files[0]),))]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that all tokens but the first are supervised. Raises MaskError."""
        for encoded in sequences:
            if [(span.start, span.stop) for span in encoded.spans] != [(1, len(encoded.ids))]:
                raise MaskError("the supervised tokens are not those of the transcript", code="TRAIN-285")


def _check(options: SupervisedOptions) -> None:
    wrong = {
        "truncation": options.truncation not in ("error", "drop"),
        "mask.turns": options.mask.turns == "everything",
        "mask.weights": bool(options.mask.weights),
        "system": bool(options.system),
        "chat_template": bool(options.chat_template),
    }
    for where in (name for name, found in wrong.items() if found):
        raise UsageError(
            f"a speech-to-text model is not trained with this value of {where}", code="TRAIN-279", where=where, hint="Leave it out."
        )
