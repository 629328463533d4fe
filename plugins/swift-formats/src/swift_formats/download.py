"""Which files of a hub's repository to download, where the patterns of a format do not suffice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from swift_core.contract import UsageError

_OTHERS = ("*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt")
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)")


def safetensors(names: Sequence[str]) -> list[str]:
    """Return the safetensors files, the configuration and the tokenizer, without `consolidated*` (copies of the weights)."""
    top = [name for name in names if "/" not in name and not name.startswith("consolidated")]
    return [name for name in top if _matches(name, ("*.safetensors", *_OTHERS))]


def gguf(names: Sequence[str]) -> list[str]:
    """Return the GGUF file, or the shards of one, and what is beside it.

    Raises:
        UsageError: the repository has several, most often one per quantization.
    """
    top = [name for name in names if "/" not in name]
    weights = [name for name in top if name.endswith(".gguf")]
    models = sorted({_SHARD.sub("", name) for name in weights})
    if len(models) > 1:
        shown = ", ".join(models[:6]) + (", …" if len(models) > 6 else "")
        hint = "Download one of them into a folder of its own, with the hub's own tool, and name that folder."
        raise UsageError(f"the repository has {len(models)} GGUF models: {shown}", code="HUB-017", hint=hint)
    return [*weights, *(name for name in top if _matches(name, _OTHERS))]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
