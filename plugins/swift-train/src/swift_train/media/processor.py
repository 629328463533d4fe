"""A model's processor (transformers' `ProcessorMixin`) behind what the encoder, the loop and the server need of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_core.contract import UsageError
from swift_train.media.audio import load_audio
from swift_train.media.audio_input import AudioInput
from swift_train.media.files import MediaFile
from swift_train.media.images import load_image
from swift_train.media.sampling import metadata_of, sampled
from swift_train.media.videos import Film, Video, load_video
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from torch import Tensor

_PARTS = {"image": ("image_processor",), "video": ("video_processor",), "audio": ("audio_processor", "feature_extractor")}
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "text_replacement_offsets")
_BLANK = {"image": (64, 64), "video": (8, 64, 64, 2, 1)}  # of a small blank file
_TYPES = ("token_type_ids", "mm_token_type_ids")  # which tokens are whose, for the attention mask or the positions
_EXTENTS = 4096  # extents of files whose expansions are kept


class Content(NamedTuple):
    """A decoded media file: its kind, and an image, a `Video`, or samples of audio."""

    kind: str
    value: Any


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
            kind: token for kind in _PARTS if (token := getattr(processor, f"{kind}_token", None)) and _takes(processor, kind)
        }
        self.settings: Mapping[str, Any] = json.loads(processor.to_json_string())  # of the store's key
        self._replacement = lru_cache(_EXTENTS)(self.expansion_of)
        self._audio_input = AudioInput(self._part("audio"))

    def load(self, kind: str, source: str | bytes, name: str = "") -> Content:
        """Decode a file: a path, or the content of one with its name in messages.

        Raises:
            UsageError: it can't be decoded, or the model would not take all of it.
        """
        if kind == "image":
            return Content(kind, load_image(source, name))
        if kind == "video":
            return Content(kind, load_video(source, lambda film: sampled(self.processor.video_processor, film), name))
        samples = load_audio(source, self._audio_input.rate, name)
        self._audio_input.check(len(samples), name or source)
        return Content(kind, samples)

    @staticmethod
    def extent(content: Content) -> tuple[int, ...]:
        """Return what decides the tokens of a file; see `MediaFile`."""
        if content.kind == "image":
            return content.value.height, content.value.width
        if content.kind == "video":
            *size, rate = content.value.film
            return *size, rate.numerator, rate.denominator
        return (len(content.value),)

    def replacement(self, file: MediaFile) -> str:
        """Return what the processor puts in the place of a file's placeholder. It depends on the file's extent alone."""
        return self._replacement(file.kind, file.size)

    @property
    def token_ids(self) -> frozenset[int]:
        """Ids of the tokens that stand for media and around them, which have no meaning in a text."""
        return frozenset(number for kind in self.placeholders for number in self._samples(kind, 1)["input_ids"][0].tolist())

    def inputs(self, files: Sequence[MediaFile]) -> dict[str, Tensor]:
        """Return the tensors of a row's files, by the names of the model's arguments: `pixel_values`, `image_grid_thw`, …

        Raises:
            UsageError: a file can't be decoded.
        """
        return self.tensors([self.load(file.kind, file.path) for file in files])

    def check_kinds(self, kinds: Collection[str]) -> None:
        """Check that files of several kinds may be in one row.

        Raises:
            UsageError: the processor gives their tensors under one name, so that one kind would be lost.
        """
        if self._loses(tuple(sorted(set(kinds)))):
            problem = f"this model's processor takes {' or '.join(sorted(set(kinds)))} in a row, not both"
            raise UsageError(problem, code="TRAIN-194", hint="Remove such rows.")

    def tensors(self, contents: Sequence[Content]) -> dict[str, Tensor]:
        """Return the tensors of media that belong to one row."""
        text = "".join(self.placeholders[content.kind] for content in contents)
        made = self._call(text, contents, return_tensors="pt")
        return {name: value for name, value in made.items() if name not in _TEXT}

    def encode(self, text: str, contents: Sequence[Content]) -> dict[str, Tensor]:
        """Return everything that the processor makes of a rendered conversation and its media, token ids included."""
        return dict(self._call(text, contents, return_tensors="pt", add_special_tokens=False))

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
        return next((name for name in _TYPES if name in self._samples(next(iter(self.placeholders)), 1)), "")

    def _part(self, kind: str) -> Any:
        return next((found for name in _PARTS[kind] if (found := getattr(self.processor, name, None))), None)

    @lru_cache(8)  # noqa: B019 (one processor a run)
    def _samples(self, kind: str, count: int) -> Mapping[str, Any]:
        made: Mapping[str, Any] = self._call(self.placeholders[kind] * count, [self._small(kind)] * count, return_tensors="pt")
        return made

    @lru_cache(8)  # noqa: B019 (one processor a run)
    def _loses(self, kinds: tuple[str, ...]) -> bool:
        """Return whether a tensor that several kinds share has fewer elements for all of them than they have alone."""
        alone = [self.blank_tensors(kind) for kind in kinds]
        shared = {name for number, made in enumerate(alone) for name in made if any(name in other for other in alone[:number])}
        if not shared:
            return False
        together = self.tensors([self._small(kind) for kind in kinds])
        return any(together[name].numel() < sum(made[name].numel() for made in alone if name in made) for name in shared)

    def blank_tensors(self, kind: str) -> dict[str, Tensor]:
        """Return the tensors of a blank file."""
        return {name: value for name, value in self._samples(kind, 1).items() if name not in _TEXT}

    def axis(self, name: str) -> int:
        """Return the axis of a tensor along which the media of several rows are concatenated: the one that grows with a second file."""
        kind = next(kind for kind in self.placeholders if name in self._samples(kind, 1))
        one, two = (self._samples(kind, count)[name].shape for count in (1, 2))
        return next((axis for axis, (few, more) in enumerate(zip(one, two, strict=True)) if few != more), 0)

    def expansion_of(self, kind: str, extent: tuple[int, ...]) -> str:
        """Return what the processor puts in the place of a placeholder of a file of an extent."""
        made = self._call(self.placeholders[kind], [self._blank(kind, extent)], return_text_replacement_offsets=True, return_tensors="pt")
        return str(made["text_replacement_offsets"][0][0]["replacement"])

    def _small(self, kind: str) -> Content:
        """Return a blank file whose tensors are small."""
        return self._blank(kind, (self._audio_input.rate,) if kind == "audio" else _BLANK[kind])

    def _blank(self, kind: str, extent: tuple[int, ...]) -> Content:
        """Return a black image or video, or silence, of an extent."""
        from PIL import Image

        if kind == "image":
            return Content(kind, Image.new("RGB", (extent[1], extent[0])))
        if kind == "audio":
            return Content(kind, np.zeros(extent, np.float32))
        frames, height, width, *rate = extent
        film = Film(frames, height, width, Fraction(*rate))
        numbers = tuple(sampled(self.processor.video_processor, film))
        return Content(kind, Video(film, numbers, np.zeros((len(numbers), film.height, film.width, 3), np.uint8)))

    def _call(self, text: str, contents: Sequence[Content], **arguments: Any) -> Any:
        given: dict[str, list[Any]] = {kind: [content.value for content in contents if content.kind == kind] for kind in self.placeholders}
        if "image" in given:
            arguments["images"] = [given["image"]] if given["image"] else None
        if videos := given.get("video"):
            arguments |= {"videos": [video.frames for video in videos], "do_sample_frames": False}
            arguments["video_metadata"] = [metadata_of(video) for video in videos]
        if audio := given.get("audio"):
            arguments |= {"audio": audio, "sampling_rate": self._audio_input.rate}
        try:
            made = self.processor(text=[text], **arguments)
        except (ValueError, RuntimeError, TypeError, ZeroDivisionError, IndexError) as error:  # a file that its resizing refuses
            sizes = ", ".join(f"{content.kind} {'×'.join(map(str, self.extent(content)))}" for content in contents)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"the model's processor refuses media of these sizes ({sizes}): {reason}",
                code="TRAIN-145",
                hint="Remove such rows, or change the sizes of the files.",
            ) from error
        return self._with_seconds(made, videos) if videos else made

    def _with_seconds(self, made: Any, videos: Sequence[Video]) -> Any:
        """Set how many seconds each step in time of a video lasts, where the processor assumes a rate."""
        for name in [name for name in made if "second_per_grid" in name]:
            steps = [self.processor.video_processor.temporal_patch_size / metadata_of(video).sampled_fps for video in videos]
            made[name] = type(made[name])(steps) if isinstance(made[name], list) else made[name].new_tensor(steps)
        return made


def _takes(processor: Any, kind: str) -> bool:
    """Return whether a processor has a part for a kind, and replaces its placeholder in texts."""
    import transformers

    own, base = getattr(type(processor), f"replace_{kind}_token", None), getattr(transformers.ProcessorMixin, f"replace_{kind}_token", None)
    return any(getattr(processor, name, None) for name in _PARTS[kind]) and (kind == "image" or own is not base)


def media_processor(processor: Any) -> MediaProcessor | None:
    """Return the media inputs of a model's processor; None for the tokenizer of a model of text alone."""
    if tokenizer_of(processor) is processor:
        return None
    made = MediaProcessor(processor)
    return made if made.placeholders else None
