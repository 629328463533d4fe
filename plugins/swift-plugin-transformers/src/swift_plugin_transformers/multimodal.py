"""Whether a checkpoint is of a multimodal model, and the Auto class that loads it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import Checkpoint

if TYPE_CHECKING:
    from swift_core.contract import ModelFamily

log = logging.getLogger(__name__)


def multimodal_class(checkpoint: Path, family: ModelFamily) -> Any:
    """Return the Auto class of a multimodal model; None for a model of text.

    A family says what its models take. A model without one is asked: transformers knows its type as a multimodal model, and not as a
    causal language model.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    config = Checkpoint.at(checkpoint).config if checkpoint.is_dir() else {}
    kind, of_repository = config.get("model_type"), config.get("auto_map") or {}
    multimodal: Any = modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES
    pictures: Any = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    if family.modalities == ("text",) and (kind not in multimodal or kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        return None
    if kind in multimodal and kind not in pictures and "AutoModelForImageTextToText" not in {*of_repository, *family.classes}:
        return transformers.AutoModelForMultimodalLM
    return transformers.AutoModelForImageTextToText


def has_processor(folder: Path) -> bool:
    """Return whether a multimodal model's folder has a processor for images and audio; log a warning if not."""
    names = ("preprocessor_config.json", "processor_config.json")
    if any((folder / name).is_file() for name in names):
        return True
    log.warning("%s has neither %s: using its tokenizer, for text-only rows", folder, " nor ".join(names))
    return False
