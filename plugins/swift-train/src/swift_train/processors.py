"""A processor is a tokenizer, or has one beside what reads pictures and sound."""

from __future__ import annotations

from typing import Any


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer: the processor itself where the model reads text alone."""
    return getattr(processor, "tokenizer", processor)
