"""Processors: a tokenizer, or an object with a tokenizer and image or audio processing."""

from __future__ import annotations

from typing import Any


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer of a processor: the processor itself for a text-only model."""
    return getattr(processor, "tokenizer", processor)


def share_template(processor: Any) -> Any:
    """Give the tokenizer of a multimodal model's processor the processor's own chat template, which renders media; return the processor."""
    if (tokenizer := tokenizer_of(processor)) is not processor and getattr(processor, "chat_template", None):
        tokenizer.chat_template = processor.chat_template
    return processor
