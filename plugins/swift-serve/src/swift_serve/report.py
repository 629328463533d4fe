"""The section `answers` of a report: the same questions, answered by several models side by side, with the differences marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from swift_report.difference import marked
from swift_report.parts import joined
from swift_report.runs import ReportedRun

from swift_core.system import made_by

_SHOWN = 30  # questions; the file has all


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return the answers of the runs that asked, by question; those of the first run are what the others are compared with."""
    files = {run.name: path for run in runs if run.run and run.run.verb in ("ask", "infer") and (path := made_by(run.folder))}
    found = by_question(files)
    if not found:
        return Markup("")
    shown = joined(_question(question, answers) for question, answers in list(found.items())[:_SHOWN])
    note = ""
    if len(found) > _SHOWN:
        note = Markup("<p class=note>The first {} of {} questions; the others are in {}.</p>").format(_SHOWN, len(found), _names(files))
    if len(files) > 1:
        note += Markup("<p class=note>Compared with {}: <ins>added</ins>, <del>left out</del>.</p>").format(next(iter(files)))
    return Markup('{}<div class="answers">{}</div>').format(note, shown)


def by_question(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Join several files of answers to {question: {name: answer}}, in the order of the questions."""
    found: dict[str, dict[str, str]] = {}
    for name, path in files.items():
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            item = json.loads(line)
            found.setdefault(item["question"], {})[name] = str(item["answer"]).strip()
    return found


def _question(question: str, answers: Mapping[str, str]) -> Markup:
    first = next(iter(answers.values()))
    sides = joined(
        Markup('<div>{}<p class="text">{}</p></div>').format(
            Markup("<h4>{}</h4>").format(name) if len(answers) > 1 else "", marked(first, answer) if number else answer
        )
        for number, (name, answer) in enumerate(answers.items())
    )
    return Markup('<article><h3>{}</h3><div class="side">{}</div></article>').format(question, sides)


def _names(files: Mapping[str, Path]) -> str:
    return ", ".join(str(path) for path in files.values())
