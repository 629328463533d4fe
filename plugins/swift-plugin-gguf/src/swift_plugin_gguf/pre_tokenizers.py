"""How text is split before it is merged, as a GGUF file says it: by llama.cpp's name for it, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from swift_train.pre_tokenizers import SPLITTINGS, splits_of

from swift_core.errors import UsageError


def pre_tokenizer_name(tokenizer: Mapping[str, Any], where: str) -> str:
    """llama.cpp's name for how a byte-level tokenizer.json splits text: one that normalizes and looks tokens up alike, where there is one.

    Raises:
        UsageError: there is no name for it, or none with which the file would be read right.
    """
    splits = tuple(splits_of(tokenizer.get("pre_tokenizer") or {}))
    names = [name for name, each in SPLITTINGS.items() if each.splits == splits]
    if not names:
        raise UsageError(
            f"text is split in a way that no known tokenizer has ({'; '.join(split[:60] for split in splits) or 'not at all'})",
            where=where,
            hint=f"Where you know llama.cpp's name for it: --pre-tokenizer NAME. Known here: {', '.join(SPLITTINGS)}.",
        )
    nfc = _normalizes(tokenizer.get("normalizer"), where)
    whole = bool(tokenizer["model"].get("ignore_merges"))
    best = min(names, key=lambda name: (SPLITTINGS[name].ignore_merges != whole, SPLITTINGS[name].nfc != nfc))
    if SPLITTINGS[best].ignore_merges != whole and (lost := next(_unmerged(tokenizer["model"]), None)):
        said = "is a token whatever the merges say" if whole else "is reached by no merge"
        raise UsageError(
            f"{lost!r} {said}, and llama.cpp reads '{best}' otherwise", where=where, hint="--pre-tokenizer NAME says how it is to be read."
        )
    return best


def _normalizes(normalizer: Mapping[str, Any] | None, where: str) -> bool:
    """Whether text is normalized to NFC; anything else that is done to it has no word in a GGUF file."""
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    if others := [str(step.get("type")) for step in steps if step.get("type") != "NFC"]:
        problem = f"text is changed before it is split ({', '.join(others)}), which a GGUF file can't say"
        raise UsageError(problem, where=where, hint="Export to another format, or train with a tokenizer without a normalizer.")
    return bool(steps)


def _unmerged(model: Mapping[str, Any]) -> Iterator[str]:
    """Tokens that the merges never give."""
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
    """The merges of a tokenizer.json, which are pairs, or texts with a space between the two."""
    return [(each.partition(" ")[0], each.partition(" ")[2]) if isinstance(each, str) else (each[0], each[1]) for each in merges]
