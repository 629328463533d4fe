"""Copy the parts of a checkpoint that a conversion keeps unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path

_TOKENIZER = ("tokenizer*", "*.model", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.*")


def copy_licence(source: Path, target: Path) -> None:
    """Copy the licence files of a checkpoint to one that was made from it."""
    _copy(source, target, ("LICENSE*",))


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer and the chat template of a checkpoint unchanged: libraries write them differently from how they read them."""
    _copy(source, target, _TOKENIZER)


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)
