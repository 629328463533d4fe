"""Glob patterns of the files that make up a model: weights that can't run code, configuration, tokenizer, licence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

MODEL = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt", "LICENSE*", "LICENCE*")
CODE = ("*.py",)  # code of the repository: fetched only for a revision that the user trusts
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.h5", "*.msgpack")
# Copies of the weights for other programs; "*/*" matches subfolders (onnx/, original/, …).
OTHERS = ("*/*", "consolidated*")


def matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match any of the patterns, sorted."""
    return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))
