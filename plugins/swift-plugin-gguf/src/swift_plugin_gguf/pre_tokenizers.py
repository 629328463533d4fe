"""How a byte-level tokenizer splits text before it merges, by the names that llama.cpp has for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from swift_core.errors import UsageError

_BYTES = "the expression of GPT-2"  # that of the ByteLevel pre-tokenizer itself
_DIGITS = "digits one by one"

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

NAMES: Mapping[tuple[str, ...], str] = {
    (_BYTES,): "gpt-2",
    (_DIGITS, _BYTES): "smollm",
    (_LLAMA3,): "llama-bpe",
    (_QWEN2,): "qwen2",
    (_TEKKEN,): "tekken",
    (_GPT4O,): "gpt-4o",
}


def splits_of(pre_tokenizer: Mapping[str, Any] | None, where: str) -> str:
    """llama.cpp's name for what `tokenizer.json` says.

    Raises:
        UsageError: it has none that is known here.
    """
    steps = tuple(_steps(pre_tokenizer or {}))
    if steps in NAMES:
        return NAMES[steps]
    raise UsageError(
        f"text is split in a way that no known tokenizer has ({'; '.join(step[:60] for step in steps) or 'not at all'})",
        where=where,
        hint=f"Where you know llama.cpp's name for it: --pre-tokenizer NAME. Known here: {', '.join(NAMES.values())}.",
    )


def _steps(step: Mapping[str, Any]) -> Iterator[str]:
    kind = step.get("type")
    if kind == "Sequence":
        for each in step["pretokenizers"]:
            yield from _steps(each)
    elif kind == "ByteLevel" and step.get("use_regex", True):
        yield _BYTES
    elif kind == "Digits" and step.get("individual_digits"):
        yield _DIGITS
    elif kind == "Split":
        pattern = step["pattern"]
        yield str(pattern.get("Regex", pattern)) if step.get("behavior") == "Isolated" and not step.get("invert") else str(step)
    elif kind and kind != "ByteLevel":
        yield str(kind)
