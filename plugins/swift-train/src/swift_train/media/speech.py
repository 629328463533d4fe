"""The processor of a speech-to-text model behind what media of rows need: features of audio, and no placeholder in any text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.media.processor import Content, MediaProcessor, media_processor
from swift_train.speech import hears

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.roles import Loaded


class SpeechProcessor(MediaProcessor):
    """Makes the features of audio.

    Args:
        processor: the model's.

    Raises:
        UsageError: it has no feature extractor.
    """

    def __init__(self, processor: Any) -> None:
        if not hasattr(processor, "feature_extractor"):
            problem = "the checkpoint of a speech-to-text model has no settings of a feature extractor"
            raise UsageError(problem, code="TRAIN-280", where="model", hint="Copy preprocessor_config.json from the model's page.")
        super().__init__(processor)
        self.placeholders = {"audio": ""}

    @property
    def token_ids(self) -> frozenset[int]:
        """Return nothing: no token stands for audio."""
        return frozenset()

    def tensors(self, contents: Sequence[Content]) -> dict[str, Tensor]:
        """Return the features of one recording, by the names of the model's arguments."""
        (content,) = contents
        return dict(self._part("audio")(content.value, sampling_rate=self._audio_input.rate, return_tensors="pt"))

    def token_types(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """Return nothing: the decoder reads text alone."""
        return {}

    def blank_tensors(self, kind: str) -> dict[str, Tensor]:
        """Return the features of a second of silence."""
        return self.tensors([self._small(kind)])

    def axis(self, name: str) -> int:
        """Return the axis of several recordings."""
        return 0


def media_of(loaded: Loaded) -> MediaProcessor | None:
    """Return the media inputs of a loaded model; None for a model of text alone."""
    return SpeechProcessor(loaded.processor) if hears(loaded.model) else media_processor(loaded.processor)
