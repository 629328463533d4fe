"""A model's processor (transformers' `ProcessorMixin`) behind what the encoder, the loop and the server need of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.media.files import MediaFile, load_image
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_ARGUMENTS = {"image": "images"}
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "text_replacement_offsets")
_TYPES = ("token_type_ids", "mm_token_type_ids")  # which tokens are whose, for the attention mask or the positions
_SIZES = 4096  # sizes of pictures whose expansions are kept


class MediaProcessor:
    """Expands placeholders and makes tensors, always by a call of the processor itself.

    Args:
        processor: the model's processor.

    Attributes:
        processor: the same.
        placeholders: the text of each kind's placeholder, as chat templates write it: {"image": "<|image_pad|>"}.
        settings: its configuration as JSON.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.placeholders: Mapping[str, str] = {
            kind: token
            for kind in _ARGUMENTS
            if (token := getattr(processor, f"{kind}_token", None)) and hasattr(processor, f"{kind}_processor")
        }
        self.settings: Mapping[str, Any] = json.loads(processor.to_json_string())  # of the store's key
        self._replacement = lru_cache(_SIZES)(self.expansion_of)

    def replacement(self, file: MediaFile) -> str:
        """Return what the processor puts in the place of a file's placeholder. It depends on the picture's size alone."""
        return self._replacement(file.kind, file.size)

    @property
    def token_ids(self) -> frozenset[int]:
        """Ids of the tokens that stand for pictures and around them, which have no meaning in a text."""
        ids: list[int] = self._samples(1)["input_ids"][0].tolist()
        return frozenset(ids)

    def inputs(self, files: Sequence[MediaFile]) -> dict[str, Tensor]:
        """Return the tensors of a row's files, by the names of the model's arguments: `pixel_values`, `image_grid_thw`, …

        Raises:
            UsageError: a file can't be decoded.
        """
        return self.tensors([load_image(file.path) for file in files])

    def tensors(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """Return the tensors of pictures that belong to one row."""
        made = self._call(self.placeholders["image"] * len(images), images, return_tensors="pt")
        return {name: value for name, value in made.items() if name not in _TEXT}

    def encode(self, text: str, images: Sequence[Image]) -> dict[str, Tensor]:
        """Return everything that the processor makes of a rendered conversation and its pictures, token ids included."""
        given = {} if images else {"images": None}
        return dict(self._call(text, images, return_tensors="pt", add_special_tokens=False, **given))

    def token_types(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """Return the arguments that tell the model what each token of a row belongs to; empty if the processor gives none."""
        if not self._types:
            return {}
        return {self._types: self.processor.create_mm_token_type_ids([list(ids)])[0]}

    @property
    def _types(self) -> str:
        """The name of the argument for token types."""
        if not self.processor.return_mm_token_type_ids:
            return ""
        return next((name for name in _TYPES if name in self._samples(1)), "")

    @lru_cache(8)  # noqa: B019 (one processor a run)
    def _samples(self, count: int) -> Mapping[str, Any]:
        from PIL import Image

        made: Mapping[str, Any] = self._call(self.placeholders["image"] * count, [Image.new("RGB", (64, 64))] * count, return_tensors="pt")
        return made

    def axis(self, name: str) -> int:
        """Return the axis of a tensor along which the pictures of several rows are concatenated: the one that grows with a second one."""
        one, two = (self._samples(count)[name].shape for count in (1, 2))
        return next((axis for axis, (few, more) in enumerate(zip(one, two, strict=True)) if few != more), 0)

    def expansion_of(self, kind: str, size: tuple[int, ...]) -> str:
        """Return what the processor puts in the place of a placeholder of a file of a size: height and width."""
        from PIL import Image

        height, width = size
        made = self._call(self.placeholders[kind], [Image.new("RGB", (width, height))], return_text_replacement_offsets=True)
        return str(made["text_replacement_offsets"][0][0]["replacement"])

    def _call(self, text: str, images: Sequence[Image], **arguments: Any) -> Any:
        try:
            return self.processor(text=[text], **({"images": [list(images)]} if images else {}), **arguments)
        except (ValueError, RuntimeError, TypeError, ZeroDivisionError) as error:  # a picture that its resizing refuses
            sizes = ", ".join(f"{image.width}×{image.height}" for image in images)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"the model's processor refuses pictures of {sizes} pixels: {reason}",
                code="TRAIN-145",
                hint="Remove such rows, or change the sizes of the pictures.",
            ) from error


def media_processor(processor: Any) -> MediaProcessor | None:
    """Return the media inputs of a model's processor; None for the tokenizer of a model of text alone."""
    if tokenizer_of(processor) is processor:
        return None
    made = MediaProcessor(processor)
    return made if made.placeholders else None
