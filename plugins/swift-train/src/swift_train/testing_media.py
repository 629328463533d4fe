"""Test helper for rows with media: tokenised into a store, as a training does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_data.reading import Skips

from swift_core.contract import RawRow
from swift_train.data import write_samples
from swift_train.media.processor import MediaProcessor
from swift_train.media.rows import RowMedia
from swift_train.options import SftOptions
from swift_train.preprocessing import Preprocessing
from swift_train.samples import Samples
from swift_train.store import Store
from swift_train.tasks import SftTask


def media_samples(processor: Any, folder: Path, store: Path, *rows: Mapping[str, Any]) -> tuple[Samples, MediaProcessor]:
    """Tokenise conversations whose files are in a folder.

    Args:
        processor: of a multimodal model, with a chat template.
        folder: of the media files.
        store: the folder to write.
        rows: the conversations.
    """
    processor.tokenizer.chat_template, own = processor.chat_template, MediaProcessor(processor)
    encoder = SftTask(SftOptions()).encoder(processor.tokenizer, media=RowMedia(None, own))
    store.mkdir()
    raw = [RawRow(dict(data), "rows.jsonl", number, folder) for number, data in enumerate(rows, 1)]
    write_samples(store, raw, Preprocessing(encoder=encoder, truncation="error", max_length=4096, options={}), Skips({}))
    return Samples([Store(store)]), own
