"""The tensors of media that a pass of the plan's workload has: made by the model's own processor from the row's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from swift_train.media.collate import media_collator
from swift_train.media.files import MediaFile
from swift_train.media.options import use_media_options
from swift_train.options import ChatOptions
from swift_train.samples import Sample

if TYPE_CHECKING:
    from swift_train.media.micro import MicroMedia
    from swift_train.roles import Loaded

    from swift_plan.workload import Workload


def pass_ids(work: Workload) -> list[list[int]]:
    """Return the token ids of each sequence of a pass: those that are long enough begin as the row with media, the others are zeros."""
    first = list(work.media.ids) if work.media else []
    starts = [first if len(first) <= length else [] for length in work.lengths]
    return [start + (start[-1:] or [0]) * (length - len(start)) for start, length in zip(starts, work.lengths, strict=True)]


def media_of(work: Workload, loaded: Loaded, options: Any) -> MicroMedia | None:
    """Return the media of a pass as real tensors; None if its rows have none. To be called outside of a fake mode.

    Args:
        work: the pass.
        loaded: its model, which may be on `meta`, and its processor.
        options: of the task.

    Raises:
        UsageError: a file has changed, or the processor refuses it.
    """
    if work.media is None or (collator := media_collator(loaded)) is None:
        return None
    if isinstance(options, ChatOptions):
        use_media_options(loaded.processor, options.media)
    files = tuple(MediaFile(*file) for file in work.media.files)
    rows = [np.array(ids, np.int32) for ids in pass_ids(work)]
    least = len(work.media.ids)
    return collator([Sample(ids, np.zeros(len(ids), np.float32), "", {}, files if len(ids) >= least else ()) for ids in rows])
