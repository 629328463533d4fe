"""Resume an interrupted evaluation: its items are taken over, if the settings are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from swift_core.contract import Problem, Run, UsageError
from swift_core.system import read_run, sha256
from swift_evaluate.records import read_items
from swift_evaluate.roles import Item

_MAY_DIFFER = ("url", "resume", "model", "adapter")  # the model and the adapters are compared by their hashes


def check_folder(folder: Path) -> None:
    """Check that a run folder is one of an evaluation.

    Raises:
        UsageError: it is not.
    """
    if read_run(folder).verb != "eval":
        raise UsageError("this run is not an evaluation", code="EVAL-009", where=str(folder), hint="Name the run folder of an evaluation.")


def problems(run: Run) -> Iterator[Problem]:
    """Yield a problem if the settings are not those of the interrupted run."""
    if not run.options["resume"]:
        return
    folder = Path(run.options["resume"])
    before, now = (settings(each) for each in (read_run(folder), run))
    changed = sorted(name for name in before | now if not _same(before.get(name), now.get(name), _home(folder)))
    if changed:
        lines = "\n".join(f"  {name}: {json.dumps(before.get(name))} → {json.dumps(now.get(name))}" for name in changed)
        message = f"the interrupted run had other settings:\n{lines}"
        yield Problem(code="EVAL-010", where="resume", message=message, hint="Use the same settings, or start again without --resume.")


def earlier(run: Run) -> list[Item]:
    """Return the items of the interrupted run that a run resumes, by the names that its tasks have now; none if it does not resume."""
    if not run.options["resume"]:
        return []
    folder = Path(run.options["resume"])
    names = dict(zip(read_run(folder).options["tasks"], run.options["tasks"], strict=False))
    return [replace(item, task=names.get(item.task, item.task)) for item in read_items(folder)]


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


def _home(folder: Path) -> Path:
    """Return the working folder of a run, if its run folder is where it is by default: below `runs`."""
    return folder.absolute().parent.parent


def _same(before: Any, now: Any, home: Path) -> bool:
    """Return whether two settings are equal; of files, whether they have the same content: the earlier one as seen from `home`."""
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_same(before[name], now[name], home) for name in before)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(_same(one, other, home) for one, other in zip(before, now, strict=True))
    if not (isinstance(before, str) and isinstance(now, str) and before and now):
        return bool(before == now)
    one, other = home / before, Path(now)
    if one.is_file() and other.is_file():
        return sha256(one) == sha256(other)
    return before == now or (one.exists() and one.resolve() == other.resolve())
