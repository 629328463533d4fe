"""The mark that ends a model's thinking, as its chat template writes it."""

from __future__ import annotations

import json
from pathlib import Path

MARKS = ("</think>", "[/THINK]", "</seed:think>", "</reason>")  # each is written by the template of a family


def thinking_mark(checkpoint: Path | None) -> str:
    """Return the mark that ends the thinking before an answer; '' if the chat template has none, or the checkpoint is not known."""
    if checkpoint is None or not checkpoint.is_dir():
        return ""
    texts = [path.read_text(encoding="utf-8") for path in checkpoint.glob("*.jinja")]
    config = checkpoint / "tokenizer_config.json"
    if config.is_file():
        texts.append(str(json.loads(config.read_text(encoding="utf-8")).get("chat_template") or ""))
    return next((mark for mark in MARKS if any(mark in text for text in texts)), "")
