"""The section `rollouts` of a report: sampled answers of the first and the last generation, with their rewards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from markupsafe import Markup
from swift_report.parts import joined, table
from swift_report.runs import ReportedRun

from swift_rollouts.generation import FOLDER, Generation

_SHOWN = 6  # answers of a generation
_LONGEST = 400  # characters of an answer


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a table of answers of each run."""
    return joined(_tables(run, named=len(runs) > 1) for run in runs)


def _tables(run: ReportedRun, *, named: bool) -> Markup | None:
    files = sorted(path for path in (run.folder / FOLDER).glob("generation-??????.jsonl"))
    parts = [_table(Generation.read(path)) for path in dict.fromkeys([*files[:1], *files[-1:]])]
    heading = Markup("<h3>{}</h3>").format(run.name) if named else ""
    return Markup("{}{}").format(heading, joined(parts)) if parts else None


def _table(generation: Generation) -> Markup:
    rows = list(islice(_rows(generation), _SHOWN))
    head = ["prompt", "answer", "tokens", *generation.rewards]
    note = Markup("<p class=note>Generation {}, sampled with version {} of the weights.</p>").format(generation.number, generation.version)
    return Markup("{}{}").format(note, table(head, rows))


def _rows(generation: Generation) -> Iterator[list[str]]:
    """Yield the best and the worst answer of each group."""
    for group in generation.groups:
        ranked = sorted(group.answers, key=lambda answer: -sum(value or 0.0 for value in answer.rewards))
        for answer in ranked[:1] + ranked[1:][-1:]:
            rewards = ["–" if value is None else f"{value:.3g}" for value in answer.rewards]
            text = answer.text if len(answer.text) <= _LONGEST else answer.text[:_LONGEST] + "…"
            yield [str(group.prompt), text, str(len(answer.ids)), *rewards]
