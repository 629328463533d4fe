"""Media of micro-batches: their tensors, what each token belongs to, and its position."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from swift_train.media.fetcher import MediaFetcher
from swift_train.media.micro import MicroMedia, in_dtype
from swift_train.media.speech import media_of

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.media.processor import MediaProcessor
    from swift_train.roles import Loaded
    from swift_train.row_groups import RowGroup
    from swift_train.samples import Sample, Samples

_ROPE = "mm_token_type_ids"
_AUDIO, _SECONDS = "feature_attention_mask", "video_second_per_grid"  # of Qwen's models that hear; their positions name them otherwise


def media_collator(loaded: Loaded) -> MediaCollator | None:
    """Return what builds the media of micro-batches; None for a model of text alone."""
    processor = media_of(loaded)
    return MediaCollator(processor, loaded.model) if processor else None


class MediaCollator:
    """Builds the media of micro-batches.

    Args:
        processor: of the model.
        model: the model, which may be on `meta`: its `get_rope_index` gives the positions of M-RoPE.
    """

    def __init__(self, processor: MediaProcessor, model: Any) -> None:
        self.processor, self.fetcher, self._dtype = processor, MediaFetcher(processor), model.dtype
        self._rope_index = getattr(model.base_model, "get_rope_index", None)
        self._rope_takes = frozenset(inspect.signature(self._rope_index).parameters) if self._rope_index else frozenset()

    def __call__(self, parts: Sequence[Sample]) -> MicroMedia | None:
        """Return the media of sequences that are concatenated in a micro-batch; None if none has any."""
        if not any(part.media for part in parts):
            return None
        taken = {part.media: self.fetcher.take(part.media) for part in parts if part.media}  # a pair of answers has the same
        made = {files: {name: in_dtype(value, self._dtype) for name, value in own.items()} for files, own in taken.items()}
        inputs = tuple(made.get(part.media, {}) for part in parts)
        types = [self._types(part.ids.tolist()) for part in parts]
        names = dict.fromkeys(name for own in inputs for name in own)
        positions = [self._positions(part, own, given) for part, own, given in zip(parts, types, inputs, strict=True)]
        return MicroMedia(
            inputs=inputs,
            axes={name: self.processor.axis(name) for name in names},
            token_types={name: torch.cat([own[name] for own in types])[None] for name in types[0]},
            positions=torch.cat(positions, 2) if self._rope_index else None,
            explicit=bool(self._rope_index) and _ROPE not in self._rope_takes,
        )

    def ask(self, samples: Samples, groups: Sequence[RowGroup]) -> None:
        """Start to decode the media of micro-batches that will be built soon."""
        rows = [row for group in groups for row in group.rows if samples.media_counts[row]]
        self.fetcher.ask([part.media for row in rows for part in samples.sequences(row)])

    def _types(self, ids: list[int]) -> dict[str, Tensor]:
        return {name: torch.tensor(values) for name, values in self.processor.token_types(ids).items()}

    def _positions(self, part: Sample, types: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Tensor:
        """Return time, height and width of each token of a sequence, (3, 1, tokens)."""
        ids = torch.tensor(part.ids, dtype=torch.int64)[None]
        if not inputs or not self._rope_index:
            return torch.arange(ids.shape[1]).expand(3, 1, -1)
        known: dict[str, Tensor] = {**inputs, "attention_mask": torch.ones_like(ids)}
        if _ROPE in types:
            known[_ROPE] = types[_ROPE][None]
        if _AUDIO in inputs:
            known["audio_seqlens"] = inputs[_AUDIO].sum(1)
        if _SECONDS in inputs:
            known["second_per_grids"] = inputs[_SECONDS]
        given = {name: value for name, value in known.items() if name in self._rope_takes}
        found: Tensor = self._rope_index(ids, **given)[0]
        return found
