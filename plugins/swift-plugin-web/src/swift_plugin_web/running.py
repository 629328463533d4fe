"""Runs as the page shows them: read from their folders, whether started here or not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from swift_report import ReportedRun
from swift_report.cost import duration

from swift_core.contract import Run, Server, SwiftError, UsageError
from swift_core.runs import STOP_FILE, read_events
from swift_core.system import read_result, read_run
from swift_plugin_web.jobs import tail
from swift_plugin_web.places import inside

_MOST = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A run: its state, how far it is, and what it is called."""

    folder: Path
    run: Run
    status: str  # running, done, failed, stopped, …
    steps: int  # done
    total: int  # 0: unknown
    seconds_left: float  # 0: unknown
    loss: float | None
    figures: Mapping[str, Any]
    output: str
    error: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def left(self) -> str:
        """The time that is left, for display."""
        return duration(self.seconds_left) if self.seconds_left else ""

    @property
    def percent(self) -> int:
        """The progress of the run."""
        return min(100, round(100 * self.steps / self.total)) if self.total else 0

    @property
    def stoppable(self) -> bool:
        """True if a stop can be asked for."""
        return self.status == "running" and not (self.folder / STOP_FILE).exists()


def all_runs(runs: Path) -> list[Shown]:
    """Return the runs in a folder, newest first."""
    folders = sorted((path.parent for path in runs.glob("*/run.json")), key=lambda path: path.name, reverse=True)[:_MOST]
    found = []
    for folder in folders:
        with suppress(SwiftError, ValueError, KeyError, TypeError):
            found.append(shown(folder))
    return found


def shown(folder: Path) -> Shown:
    """Return a run."""
    run, result = read_run(folder), read_result(folder) or {}
    metrics = ReportedRun("", folder, None, {}).lines("metrics.jsonl")
    last = metrics[-1] if metrics else {}
    steps, total = int(last.get("step", 0)), _total(run, folder)
    status = str(result.get("status") or "running")
    left = 0.0
    if status == "running" and steps and total and last.get("seconds"):
        left = float(last["seconds"]) / steps * (total - steps)
    loss = next((line["loss"] for line in reversed(metrics) if isinstance(line.get("loss"), int | float)), None)
    output, error = str(result.get("output", "")), str(result.get("error", ""))
    return Shown(folder, run, status, steps, total, left, loss, result.get("figures", {}), output, error)


def run_named(runs: Path, name: str) -> Path:
    """Return a run folder by its name.

    Raises:
        UsageError: there is no such run.
    """
    if "/" in name or "\\" in name or name.startswith(".") or not (runs / name / "run.json").is_file():
        raise UsageError("there is no such run", code="WEB-005", where=name[:100], hint="Its folder may have been moved or removed.")
    return inside(runs / name, [runs])


def curves(folders: Sequence[Path]) -> Markup:
    """Return the curves of runs as SVG, with their numbers as tables."""
    from swift_train.report import curves as drawn

    return drawn([ReportedRun(folder.name, folder, read_run(folder), read_result(folder) or {}) for folder in folders])


def servers(runs: Path) -> dict[str, Server]:
    """Return the servers that run now, by the name of their run."""
    found = {}
    for folder in (path.parent for path in runs.glob("*/run.json")):
        if read_result(folder) is None:
            with suppress(SwiftError, ValueError, KeyError):
                for event in read_events(folder):
                    if event["event"] == "ready":
                        found[folder.name] = Server.from_event(event, folder)
    return found


def log_of(folder: Path) -> str:
    """Return the end of a run's log."""
    return tail(folder / "log.txt")


def notes_of(folder: Path) -> list[str]:
    """Return the notes of a run, newest last."""
    return [event["text"] for event in read_events(folder) if event["event"] == "note"][-8:]


def _total(run: Run, folder: Path) -> int:
    if "task" not in run.parts:
        return 0
    if steps := run.part("task").options.get("max_steps"):
        return int(steps)
    with suppress(OSError, ValueError):
        return int(json.loads((folder / "plan.json").read_text(encoding="utf-8")).get("steps") or 0)
    return 0
