"""Runs as sections of a report see them: the run folder, and what it holds. A file that is absent or damaged is empty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import ResultRecord, Run, UsageError
from swift_core.system import read_result, read_run

STEPS = "steps.json"  # of a recipe: {"title": …, "steps": [{"id": …, "folder": …, "kept": …}]}


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A run in a report.

    Attributes:
        name: what the report calls it: the id of the step of a recipe, else the name of its folder.
        folder: its run folder.
        run: the resolved run; None for a comparison, which is several.
        result: what `result.json` holds; empty for a run that has not ended.
    """

    name: str
    folder: Path
    run: Run | None
    result: ResultRecord

    def json(self, name: str) -> Any:
        """Return a JSON file of the folder; an empty mapping if there is none, or it is damaged."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the JSON objects of a file with one per line, without damaged lines, which a run that was killed may leave."""
        return list(_objects(self.folder / name))


def opened(folder: Path) -> list[ReportedRun]:
    """Return the run in a folder, or the runs of the steps of a recipe.

    Raises:
        UsageError: there is no run in the folder.
    """
    recipe = ReportedRun(folder.name, folder, None, read_result(folder) or {})
    if steps := recipe.json(STEPS):
        return [
            _run(folder / step["folder"], step["id"]) for step in steps["steps"] if step["folder"] and (folder / step["folder"]).is_dir()
        ]
    if not (folder / "run.json").is_file() and not recipe.result:
        raise UsageError("not a run folder", code="REPORT-001", where=str(folder), hint="Name folders that `swift` has made below runs/.")
    return [_run(folder, folder.resolve().name)]


def _run(folder: Path, name: str) -> ReportedRun:
    return ReportedRun(name, folder, read_run(folder) if (folder / "run.json").is_file() else None, read_result(folder) or {})


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found
