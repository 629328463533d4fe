"""Whether the folder of a multimodal model has the processor of its media."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def has_processor(folder: Path) -> bool:
    """Return whether a multimodal model's folder has a processor for images and audio; log a warning if not."""
    names = ("preprocessor_config.json", "processor_config.json")
    if any((folder / name).is_file() for name in names):
        return True
    log.warning("%s has neither %s: using its tokenizer, for text-only rows", folder, " nor ".join(names))
    return False
