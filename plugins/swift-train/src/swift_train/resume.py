"""Which checkpoint a run goes on from, and whether it is still the run that wrote it.

`--resume` names a run folder or a checkpoint. Of a run folder the newest sound checkpoint is taken, and where it has none, those of the
run that it went on from itself. A launcher that starts a failed run again does so in the same folder: there its own are taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError, UsageError
from swift_train.checkpoints import LOOP, RUN, complete_checkpoints, integrity_error

if TYPE_CHECKING:
    from swift_core.contract.run import Run
    from swift_core.runs.events import Report
    from swift_train.strategy import Strategy

_FIXED = ("task", "tuner", "optimizer", "parallel")  # what is in `state/` depends on them


@dataclass(frozen=True, slots=True)
class Resume:
    """The checkpoints to go on from, the best choice first, and whether settings may differ."""

    candidates: Sequence[Path]
    allow_change: bool = False


def resume_of(run: Run, folder: Path) -> Resume | None:
    """How the run goes on; None where it begins.

    Args:
        run: the run; its option `resume` is a path, or a mapping of `name` and `allow_change`.
        folder: its own folder, which has checkpoints where a launcher starts it again.

    Raises:
        UsageError: it names what has no checkpoint.
    """
    asked = run.options.get("resume") or ""
    name, allow = (asked["name"], bool(asked.get("allow_change"))) if isinstance(asked, Mapping) else (asked, False)
    if allow and not name:
        raise UsageError("there is nothing to go on from", where="resume.allow_change", hint="Name the run: --resume FOLDER.")
    own = [
        path
        for path in reversed(complete_checkpoints(folder / "checkpoints"))
        if _written_by(path) == json.loads(json.dumps(run.to_json()))
    ]
    found = own or (candidates(Path(name)) if name else [])
    return Resume(found, allow) if found else None


def candidates(path: Path) -> list[Path]:
    """The checkpoints that `--resume PATH` means: PATH itself, or those of the run folder PATH, newest first.

    Raises:
        UsageError: there is none.
    """
    if (path / "state" / LOOP).is_file():
        return [path]
    found: list[Path] = []
    folder: Path | None = path
    seen: set[Path] = set()
    while folder and folder not in seen:
        seen.add(folder)
        found += reversed(complete_checkpoints(folder / "checkpoints"))
        folder = _resumed_from(folder)
    if not found:
        others = ", ".join(other.name for other in complete_checkpoints(path.parent)) if path.parent.name == "checkpoints" else ""
        hint = f"There are: {others}." if others else "Give a run folder that has checkpoints/step-…, or one of those."
        raise UsageError("no checkpoint to go on from", where=str(path), hint=hint)
    return found


def newest_checkpoint(path: Path) -> Path:
    """The first of `candidates`."""
    return candidates(path)[0]


def first_intact(choices: Sequence[Path], strategy: Strategy, report: Report) -> Path:
    """The first checkpoint whose files are as they were written; every rank must call.

    Raises:
        SwiftError: all are damaged.
    """
    for checkpoint in choices:
        fault = integrity_error(checkpoint) if strategy.writer else ""
        if not strategy.reduce(float(bool(fault)), "max"):
            return checkpoint
        report.note(f"WARNING: {checkpoint} can't be used: {fault}. Taking the one before it.")
    raise SwiftError(
        "no checkpoint is as it was written", where=str(choices[0]), hint="Start anew; a sound model/ in it can be named as --model."
    )


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What the loop wrote with the checkpoint."""
    state: dict[str, Any] = json.loads((checkpoint / "state" / LOOP).read_text(encoding="utf-8"))
    return state


def changed_settings(saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path, *, allow: bool) -> str:
    """What differs between the run that was interrupted and this one, a line each; empty where nothing does.

    Raises:
        UsageError: something differs, and that was not allowed, or can't be.
    """
    names = {*saved, *now} - {"task.learning_rate"}  # which comes to the learning_rate that is compared
    keys = [key for key in sorted(names) if saved.get(key) != now.get(key)]
    lines = "\n".join(f"  {key}: {saved.get(key)!r} → {now.get(key)!r}" for key in keys)
    anew = "start anew from the checkpoint's model/ (--model, or --adapter for an adapter)"
    base = f"The run is of --model {name}. " if "model" in keys and (name := _base(checkpoint.parent.parent)) else ""
    if fixed := [key for key in keys if key in _FIXED]:
        others = " and ".join(fixed)
        raise UsageError(
            f"the run can't go on with another {others}:\n{lines}", where=str(checkpoint), hint=f"{base}Give it as it was; or {anew}."
        )
    if keys and not allow:
        raise UsageError(
            f"the run can't go on exactly, since these have changed:\n{lines}",
            where=str(checkpoint),
            hint=f"{base}Give them as they were; or go on with the new ones: --resume.allow-change; or {anew}.",
        )
    return lines


def _base(folder: Path) -> str:
    """What the run in a folder calls its base, as it is typed."""
    try:
        return str(json.loads((folder / RUN).read_text(encoding="utf-8"))["model"]["reference"]).removeprefix("file:")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _resumed_from(folder: Path) -> Path | None:
    """The run folder that a run went on from itself."""
    try:
        asked = json.loads((folder / RUN).read_text(encoding="utf-8"))["options"].get("resume") or ""
    except (OSError, ValueError, KeyError):
        return None
    name = asked["name"] if isinstance(asked, dict) else asked
    return Path(name) if name else None


def _written_by(checkpoint: Path) -> Any:
    try:
        return json.loads((checkpoint / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
