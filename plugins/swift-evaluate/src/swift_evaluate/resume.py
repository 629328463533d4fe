"""Resume an interrupted evaluation: its items are taken over, if the settings are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.contract import Problem, Run, UsageError
from swift_core.system import read_run
from swift_evaluate.records import read_items
from swift_evaluate.roles import Item

_MAY_DIFFER = ("url", "resume", "model", "adapter")  # the model and the adapters are compared by their hashes


def check_folder(folder: Path) -> None:
    """Check that a run folder is one of an evaluation.

    Raises:
        UsageError: it is not.
    """
    if read_run(folder).verb != "eval":
        raise UsageError("this run is no evaluation", code="EVAL-009", where=str(folder), hint="Name the run folder of an evaluation.")


def problems(run: Run) -> Iterator[Problem]:
    """Yield a problem if the settings are not those of the interrupted run."""
    if not run.options["resume"]:
        return
    before, now = (settings(each) for each in (read_run(Path(run.options["resume"])), run))
    changed = sorted(name for name in before | now if before.get(name) != now.get(name))
    if changed:
        lines = "\n".join(f"  {name}: {json.dumps(before.get(name))} → {json.dumps(now.get(name))}" for name in changed)
        message = f"the interrupted run had other settings:\n{lines}"
        yield Problem(code="EVAL-010", where="resume", message=message, hint="Use the same settings, or start again without --resume.")


def earlier(run: Run) -> list[Item]:
    """Return the items of the interrupted run that a run resumes; none if it does not resume."""
    return read_items(Path(run.options["resume"])) if run.options["resume"] else []


def settings(run: Run) -> dict[str, Any]:
    """Return what decides the scores of an evaluation, as JSON: its options, the evaluator, the backend, the model and its adapters."""
    found: dict[str, Any] = {name: value for name, value in run.options_with_effect().items() if name not in _MAY_DIFFER}
    for part, choice in run.parts.items():
        found[part] = choice.name
        found |= {f"{part}.{name}": value for name, value in choice.options.items()}
    found["model"] = run.model.hash if run.model else run.options["name"]
    found["adapters"] = sorted(source.hash for source in run.adapters.values())
    loaded: dict[str, Any] = json.loads(json.dumps(found))
    return loaded
