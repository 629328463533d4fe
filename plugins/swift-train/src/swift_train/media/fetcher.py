"""Decode media in threads while the model computes, within a bound of memory.

Tensors of an image are large (a page of 1700×2200 pixels is 90 MB for Qwen2-VL), so none are kept: each is made once for the micro-batch
that needs it. What is asked for ahead waits until it is taken; while more than the bound waits, nothing further is decoded ahead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from swift_core.contract import SwiftError
from swift_train.media.files import MediaFile, unchanged

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.media.processor import MediaProcessor

Files = tuple[MediaFile, ...]
MAX_BYTES = 1 << 30  # of decoded media that wait
_WORKERS = 4


class MediaFetcher:
    """Makes the tensors of rows' files, in threads and ahead of their use.

    Args:
        processor: of the model.
        max_bytes: of tensors that wait to be taken; the next micro-batch is always decoded.
    """

    def __init__(self, processor: MediaProcessor, max_bytes: int = MAX_BYTES) -> None:
        self._processor, self._max_bytes = processor, max_bytes
        self._pool = ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1), "media")
        self._lock = threading.Lock()  # a processor's tokenizer is not thread-safe
        self._waiting: dict[Files, Future[Mapping[str, Tensor]]] = {}
        self._largest = 0

    def ask(self, rows: Sequence[Files]) -> None:
        """Start to decode the files of rows, as many as the bound allows."""
        for files in rows:
            if files and files not in self._waiting and (len(self._waiting) + 1) * self._largest <= self._max_bytes:
                self._waiting[files] = self._pool.submit(self._make, files)

    def take(self, files: Files) -> Mapping[str, Tensor]:
        """Return the tensors of a row's files.

        Raises:
            SwiftError: a file has changed since it was tokenised, or can't be decoded any more.
        """
        waiting = self._waiting.pop(files, None)
        made = waiting.result() if waiting else self._make(files)
        self._largest = max(self._largest, sum(value.nbytes for value in made.values()))
        return made

    def _make(self, files: Files) -> Mapping[str, Tensor]:
        for file in files:
            if not unchanged(file):
                raise SwiftError(
                    f"{file.path} has changed since it was tokenised",
                    code="TRAIN-147",
                    hint="Start the run again, so that it is read anew.",
                )
        contents = [self._processor.load(file.kind, file.path) for file in files]
        with self._lock:
            return self._processor.tensors(contents)
