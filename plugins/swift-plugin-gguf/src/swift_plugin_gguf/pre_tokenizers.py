"""Pre-tokenizers by llama.cpp's names: GGUF stores the name of the splitting rule, not the rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from swift_train.pre_tokenizers import SPLITTINGS, splits_of

from swift_core.contract import UsageError


def pre_tokenizer_name(tokenizer: Mapping[str, Any], where: str) -> str:
    """Return llama.cpp's name of the pre-tokenizer of a byte-level tokenizer.json.

    If several names have the same splitting rule, one with the same normalizer and `ignore_merges` is preferred.

    Raises:
        UsageError: llama.cpp has no name for it, or reads every candidate with different tokens.
    """
    splits = tuple(splits_of(tokenizer.get("pre_tokenizer") or {}))
    names = [name for name, each in SPLITTINGS.items() if each.splits == splits]
    if not names:
        raise UsageError(
            f"llama.cpp has no name for this pre-tokenizer ({'; '.join(split[:60] for split in splits) or 'none'})",
            code="EXPORT-029",
            where=where,
            hint=f"If you know llama.cpp's name for it, pass --pre-tokenizer NAME. Known names: {', '.join(SPLITTINGS)}.",
        )
    nfc = _normalizes(tokenizer.get("normalizer"), where)
    ignores_merges = bool(tokenizer["model"].get("ignore_merges"))
    best = min(names, key=lambda name: (SPLITTINGS[name].ignore_merges != ignores_merges, SPLITTINGS[name].nfc != nfc))
    if SPLITTINGS[best].ignore_merges != ignores_merges and (unreachable := next(_unmerged(tokenizer["model"]), None)):
        reason = "is matched as a whole, which no merge produces" if ignores_merges else "is not produced by any merge"
        raise UsageError(
            f"the token {unreachable!r} {reason}, and llama.cpp's '{best}' handles it differently",
            code="EXPORT-030",
            where=where,
            hint="Pass llama.cpp's name of the pre-tokenizer: --pre-tokenizer NAME.",
        )
    return best


def _normalizes(normalizer: Mapping[str, Any] | None, where: str) -> bool:
    """Return True if text is normalized to NFC; reject any other normalizer, which GGUF can't represent."""
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    if others := [str(step.get("type")) for step in steps if step.get("type") != "NFC"]:
        problem = f"the tokenizer has normalizers that GGUF can't represent: {', '.join(others)}"
        raise UsageError(
            problem, code="EXPORT-031", where=where, hint="Export to another format, or train with a tokenizer without a normalizer."
        )
    return bool(steps)


def _unmerged(model: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tokens that no sequence of merges produces."""
    ranks = {pair: rank for rank, pair in enumerate(pairs_of(model["merges"]))}
    for token in model["vocab"]:
        parts = list(token)
        while len(parts) > 1:
            rank, place = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairwise(parts)))
            if rank == len(ranks):
                break
            parts[place : place + 2] = ["".join(parts[place : place + 2])]
        if len(parts) > 1:
            yield token


def pairs_of(merges: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the merges of a tokenizer.json as pairs; it stores pairs, or strings with a space in between."""
    return [(each.partition(" ")[0], each.partition(" ")[2]) if isinstance(each, str) else (each[0], each[1]) for each in merges]
