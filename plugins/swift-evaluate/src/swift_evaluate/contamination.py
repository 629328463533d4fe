"""Contamination: questions of an evaluation that stand in the rows which the checkpoint was trained on.

The training rows are found through the checkpoint's lineage: the run that made it, the run that made its base, and so on. A question
overlaps with a row if they share 13 words in succession, as in T. Brown et al. (2020); a shorter one if the row contains it as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_data.reading import raw_rows
from swift_provenance.lineage import history

from swift_core.contract import DataChoice, Run, SwiftError
from swift_evaluate.roles import Item

WORDS = 13  # length of the word sequences that are compared
SHORTEST = 8  # words of the shortest question that is looked for
_SHOWN = 20
_Index = dict[tuple[str, ...], dict[tuple[str, ...], set[tuple[str, str]]]]  # first words -> word sequence -> questions
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")  # Chinese, Japanese and Korean by character


def contamination(run: Run, items: Iterable[Item]) -> dict[str, Any]:
    """Return what was compared, and the questions that overlap, as JSON; {} if the lineage names no training rows.

    Args:
        run: the evaluation.
        items: its items; those without the text of their question are not compared.
    """
    sources = [source for source in (run.model, *run.adapters.values()) if source]
    try:
        choices = {choice.hash or choice.asked: choice for source in sources for choice in training_data(Path(source.path), _runs(run))}
    except (SwiftError, ValueError, TypeError, KeyError, OSError) as error:  # a record of another version loses no scores
        return {"unreadable": [f"the lineage: {error}"]}
    if not choices:
        return {}
    texts = {(item.task, item.id): item.question for item in items}
    words = {name: sequence for name, text in texts.items() if len(sequence := _words(text)) >= SHORTEST}
    index: _Index = {}
    for name, sequence in words.items():
        length = min(WORDS, len(sequence))
        for start in range(len(sequence) - length + 1):
            gram = sequence[start : start + length]
            index.setdefault(gram[:SHORTEST], {}).setdefault(gram, set()).add(name)
    hits, rows, unreadable = set[tuple[str, str]](), 0, []
    for choice in choices.values():
        try:
            for row in raw_rows(choice):
                rows += 1
                for text in _texts(row.data):
                    hits.update(_matches(_words(text), index))
        except (SwiftError, OSError, ImportError) as error:
            unreadable.append(f"{choice.asked}: {error}")
    return {
        "training_data": [choice.asked for choice in choices.values()],
        "training_rows": rows,
        "unreadable": unreadable,
        "questions": len(words),
        "overlapping": len(hits),
        "examples": [f"{task} {name}" for task, name in sorted(hits)[:_SHOWN]],
        "method": f"{WORDS} words in succession",
    }


def warning(found: Mapping[str, Any]) -> list[str]:
    """Return what the user should know of the contamination."""
    texts = [f"contamination was not checked for {text}" for text in found.get("unreadable", ())]
    if found.get("overlapping"):
        data = ", ".join(found["training_data"])
        texts.append(f"contamination: {found['overlapping']} of {found['questions']} questions stand in the training rows ({data})")
    return texts


def training_data(checkpoint: Path, runs: Path) -> Iterator[DataChoice]:
    """Yield the data sets of the runs in the lineage of a checkpoint.

    Args:
        checkpoint: folder of the checkpoint.
        runs: folder in which runs are looked for whose output is elsewhere.
    """
    for made in history(checkpoint, runs):
        yield from made.data


def _runs(run: Run) -> Path:
    return Path(str(run.options.get("runs", "runs")))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _matches(words: tuple[str, ...], index: _Index) -> Iterator[tuple[str, str]]:
    """Yield the questions that share a word sequence with a text."""
    for start in range(len(words) - SHORTEST + 1):
        for gram, names in index.get(words[start : start + SHORTEST], {}).items():
            if words[start : start + len(gram)] == gram:
                yield from names


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a row."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
