"""Processors: a tokenizer, or an object with a tokenizer and image or audio processing."""

from __future__ import annotations

from typing import Any


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer of a processor: the processor itself for a text-only model."""
    return getattr(processor, "tokenizer", processor)
