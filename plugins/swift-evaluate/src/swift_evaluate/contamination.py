"""Contamination: questions of an evaluation that stand in the rows which the checkpoint was trained on.

The training rows are found through the checkpoint's lineage: the run that made it, the run that made its base, and so on. What overlaps is
said in `swift_data.overlap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_data.overlap import WORDS, Questions
from swift_data.reading import raw_rows
from swift_provenance.lineage import history

from swift_core.contract import DataChoice, Run, SwiftError
from swift_evaluate.roles import Item

_SHOWN = 20


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
    questions = Questions(((item.task, item.id), item.question) for item in items)
    hits, rows, unreadable = set[tuple[str, str]](), 0, []
    for choice in choices.values():
        try:
            for row in raw_rows(choice):
                rows += 1
                hits |= questions.found_in(row.data)
        except (SwiftError, OSError, ImportError) as error:
            unreadable.append(f"{choice.asked}: {error}")
    return {
        "training_data": [choice.asked for choice in choices.values()],
        "training_rows": rows,
        "unreadable": unreadable,
        "questions": questions.count,
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
