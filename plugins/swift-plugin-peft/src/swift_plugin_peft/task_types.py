"""PEFT's type of a model's task, which it saves with an adapter."""

from __future__ import annotations

from typing import Any

from swift_train.encoder_decoder import is_encoder_decoder
from swift_train.heads import has_no_head, score_modules


def task_type(model: Any) -> str | None:
    """Return PEFT's type for a transformers model; None for one that PEFT has no type for."""
    name = type(model).__name__
    if score_modules(model):  # PEFT trains and saves the head with the adapter
        return "TOKEN_CLS" if name.endswith("ForTokenClassification") else "SEQ_CLS"
    if has_no_head(model):
        return "FEATURE_EXTRACTION"
    if is_encoder_decoder(model):
        return "SEQ_2_SEQ_LM"
    return None if name.endswith("ForMaskedLM") else "CAUSAL_LM"
