"""Media settings of a task's encoder: the folder of relative paths, and the processor of a multimodal model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.media.files import MediaFile, media_file

if TYPE_CHECKING:
    from swift_train.media.processor import MediaProcessor


@dataclass(frozen=True, slots=True)
class RowMedia:
    """Media of a run's rows.

    Attributes:
        folder: folder of the media files; None for the row's own folder.
        processor: of a model that has towers; None for a model of text alone.
    """

    folder: Path | None = None
    processor: MediaProcessor | None = None

    def files(self, messages: Iterable[Any]) -> list[MediaFile]:
        """Return the checked files of a conversation, in order.

        Raises:
            UsageError: the model has no input for such files, or one is damaged.
        """
        found = []
        for number, message in enumerate(messages, 1):
            content = message.get("content")
            for part in content if isinstance(content, list | tuple) else ():
                kind = part.get("type", "?")
                if kind == "text":
                    continue
                if self.processor is None or kind not in self.processor.placeholders:
                    takes = " and ".join(["text", *(self.processor.placeholders if self.processor else ())])
                    raise UsageError(
                        f"message {number} contains {kind}, and this model is trained on {takes} only",
                        code="TRAIN-039",
                        hint="Remove such rows, or choose a model with such inputs.",
                    )
                found.append(media_file(kind, str(part[kind]), self.processor))
        if self.processor and len(kinds := {file.kind for file in found}) > 1:
            self.processor.check_kinds(kinds)
        return found
