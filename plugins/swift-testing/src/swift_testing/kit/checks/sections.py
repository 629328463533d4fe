"""Checks of a section of reports: it handles any run, also an empty one, and escapes what comes from models and data."""

from __future__ import annotations

import json

from swift_core.contract import Run, SwiftError
from swift_core.system import write_json, write_result, write_run
from swift_testing.kit.model import CheckFailed, check, require
from swift_testing.kit.subject import Subject, library

SECTION = "section"
_HOSTILE = "<script>alert(1)</script>"


def _content(subject: Subject, *names: str, filled: bool) -> str:
    """Return what the section has on some run folders."""
    runs = library("swift_report.runs")
    found = []
    for name in names:
        folder = subject.new_folder("run")
        write_run(Run(verb="sft", job="", options={"note": _HOSTILE}), folder)
        if filled:
            lines = [{"step": step, "loss": 3.0 / step, "heldout_loss": 3.0, "learning_rate": 1e-4} for step in (1, 2, 3)]
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
            write_json(folder / "mask_sample.json", {"row": "", "tokens": 1, "supervised": 1, "pieces": []})
            write_result(folder, {"status": "failed", "error": _HOSTILE, "figures": {_HOSTILE: 1.0, "note": _HOSTILE}})
        (one,) = runs.opened(folder)
        found.append(runs.ReportedRun(name, folder, one.run, one.result))
    try:
        content = subject.spec.content.load()(found)
    except SwiftError as error:
        raise CheckFailed(f"content: {error.message}") from error
    require(isinstance(content, str), f"it returns a {type(content).__name__}, not a text or markupsafe.Markup")
    return str(library("markupsafe").escape(content))


@check(SECTION)
def check_title(subject: Subject) -> None:
    """It has a title of one short line, which is the heading and the link to it."""
    title = subject.spec.title
    require(title.strip() and "\n" not in title and len(title) <= 40, "its title is empty, or longer than one line of 40 characters")


@check(SECTION)
def check_any_run(subject: Subject) -> None:
    """It handles a run that has just started, one that has failed, and several: `swift report` takes any run folder."""
    _content(subject, "empty", filled=False)
    _content(subject, "one", filled=True)
    _content(subject, "one", "two", filled=True)


@check(SECTION)
def check_texts_are_escaped(subject: Subject) -> None:
    """Names of runs, options, figures and errors are escaped: they may come from a model, and a report may be sent to others."""
    found = _content(subject, _HOSTILE, f"two {_HOSTILE}", filled=True)
    require("<script" not in found.lower(), "a text of the run is inserted without escaping: use markupsafe.Markup(…).format(text)")
