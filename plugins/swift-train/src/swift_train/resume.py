"""Choose the checkpoint that a run resumes from, and check that its settings are those of the run that wrote it.

`--resume` names a run folder or a checkpoint. The newest intact checkpoint of a run folder is used; if it has none, those of the run that
it was resumed from. A launcher restarts a failed run in the same folder: then the run's own checkpoints are used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError, UsageError
from swift_train.checkpoints import LOOP, RUN, complete_checkpoints, integrity_error

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report
    from swift_train.strategy import Strategy

_FIXED = ("task", "tuner", "optimizer", "parallel")  # they determine the contents of `state/`


@dataclass(frozen=True, slots=True)
class Resume:
    """The checkpoints to resume from, in order of preference, and whether settings may differ."""

    candidates: Sequence[Path]  # checkpoint folders
    allow_change: bool = False  # settings may differ from those of the run that wrote them


def resume_of(run: Run, folder: Path) -> Resume | None:
    """Return how a run resumes; None if it starts from the beginning.

    Args:
        run: the run; its option `resume` is a path, or a mapping of `name` and `allow_change`.
        folder: its run folder, which has checkpoints if a launcher has restarted the run.

    Raises:
        UsageError: the option names a path without a checkpoint.
    """
    option = run.options.get("resume") or ""
    name, allow = (option["name"], bool(option.get("allow_change"))) if isinstance(option, Mapping) else (option, False)
    if allow and not name:
        raise UsageError(
            "no run to resume from", code="TRAIN-056", where="resume.allow_change", hint="Name the run folder: --resume FOLDER."
        )
    own = [
        path
        for path in reversed(complete_checkpoints(folder / "checkpoints"))
        if _written_by(path) == json.loads(json.dumps(run.to_json()))
    ]
    found = own or (candidates(Path(name)) if name else [])
    return Resume(found, allow) if found else None


def candidates(path: Path) -> list[Path]:
    """Return the checkpoints that `--resume PATH` refers to: PATH itself, or those of the run folder PATH, newest first.

    Raises:
        UsageError: there is no complete checkpoint.
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
        hint = f"Available: {others}." if others else "Name a run folder that contains checkpoints/step-…, or one of these folders."
        raise UsageError("no checkpoint to resume from", code="TRAIN-057", where=str(path), hint=hint)
    return found


def earlier_checkpoints(checkpoint: Path) -> list[Path]:
    """Return the checkpoints up to this one, of its run and of those that it was resumed from, oldest first."""
    found: list[Path] = []
    for folder in run_folders(checkpoint):
        found = [path for path in complete_checkpoints(folder / "checkpoints") if _step(path) <= _step(checkpoint)] + found
    return found


def run_folders(checkpoint: Path) -> list[Path]:
    """Return the run folder of a checkpoint, and those of the runs that it was resumed from, newest first."""
    found: list[Path] = []
    folder: Path | None = checkpoint.parents[1]
    while folder and folder not in found:
        found.append(folder)
        folder = _resumed_from(folder)
    return found


def newest_checkpoint(path: Path) -> Path:
    """Return the first of `candidates`."""
    return candidates(path)[0]


def first_intact(choices: Sequence[Path], strategy: Strategy, report: Report) -> Path:
    """Return the first checkpoint whose files match their recorded hashes. Collective.

    Raises:
        SwiftError: all are damaged.
    """
    for checkpoint in choices:
        fault = integrity_error(checkpoint) if strategy.writer else ""
        if not strategy.reduce(float(bool(fault)), "max"):
            return checkpoint
        report.note(f"WARNING: {checkpoint} can't be used: {fault}. Using the previous one.")
    raise SwiftError(
        "all checkpoints are damaged",
        code="TRAIN-058",
        where=str(choices[0]),
        hint="Start a new run; an intact model/ folder in one can be passed as --model.",
    )


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return the loop's state that was saved with a checkpoint.

    Raises:
        UsageError: the checkpoint has the model alone (`save_only_model`).
    """
    state: dict[str, Any] = json.loads((checkpoint / "state" / LOOP).read_text(encoding="utf-8"))
    if not state.get("whole", True):
        hint = f"Start a new run from {checkpoint / 'model'}: with --model, or with --adapter if it is an adapter."
        raise UsageError("this checkpoint contains only the model (save_only_model)", code="TRAIN-149", where=str(checkpoint), hint=hint)
    return state


def changed_settings(saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path, *, allow: bool) -> str:
    """Return the settings that differ between the saved run and this one, one per line; empty if none does.

    Args:
        saved, now: the settings of the interrupted run and of this one, by dotted name.
        checkpoint: named in errors.
        allow: whether settings may differ.

    Raises:
        UsageError: settings differ and `allow` is false, or the differing settings can't change in a resume.
    """
    names = {*saved, *now} - {"task.learning_rate"}  # the resulting learning_rate is compared instead
    keys = [key for key in sorted(names) if saved.get(key) != now.get(key)]
    lines = "\n".join(f"  {key}: {saved.get(key)!r} → {now.get(key)!r}" for key in keys)
    restart = "start a new run from the checkpoint's model/ (--model, or --adapter for an adapter)"
    base = f"The run was started with --model {name}. " if "model" in keys and (name := _base(checkpoint.parent.parent)) else ""
    if fixed := [key for key in keys if key in _FIXED]:
        others = " and ".join(fixed)
        hint = f"{base}Use the original {others}; or {restart}."
        raise UsageError(f"the run can't resume with another {others}:\n{lines}", code="TRAIN-059", where=str(checkpoint), hint=hint)
    if keys and not allow:
        raise UsageError(
            f"the run can't resume exactly, since these settings have changed:\n{lines}",
            code="TRAIN-060",
            where=str(checkpoint),
            hint=f"{base}Use the original settings; or resume with the new ones: --resume.allow-change; or {restart}.",
        )
    return lines


def check_steps(step: int, total: int, checkpoint: Path) -> None:
    """Refuse a checkpoint of a later step than the run has.

    Raises:
        UsageError: it is.
    """
    if step > total:
        problem = f"the checkpoint is of step {step}, but the run has only {total} steps"
        raise UsageError(problem, code="TRAIN-032", where=str(checkpoint), hint="Set more steps: --max-steps or --epochs.")


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def _base(folder: Path) -> str:
    """Return the base model of the run in a folder, as a --model value; '' if unknown."""
    try:
        return str(json.loads((folder / RUN).read_text(encoding="utf-8"))["model"]["reference"]).removeprefix("file:")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _resumed_from(folder: Path) -> Path | None:
    """Return the run folder that a run was resumed from; None if it was not."""
    try:
        option = json.loads((folder / RUN).read_text(encoding="utf-8"))["options"].get("resume") or ""
    except (OSError, ValueError, KeyError):
        return None
    name = option["name"] if isinstance(option, dict) else option
    return Path(name) if name else None


def _written_by(checkpoint: Path) -> Any:
    try:
        return json.loads((checkpoint / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
