"""One cause is told once: the checks that fail for a reason that another has told already are not tried, and say which."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NoReturn

from swift_core.system.failure_site import place_of
from swift_testing.kit.model import CheckFailed, Skip
from swift_testing.kit.subject import Subject

_SHOWN = 12  # lines of an engine's log


def tell(subject: Subject, check: str, error: Exception) -> NoReturn:
    """Raise a check's failure, with where it was raised and the end of the engine's log.

    Raises:
        CheckFailed: this is the first check of the subject that fails so.
        Skip: another has, and this follows from it.
    """
    first = subject.faults.setdefault(_cause(error, subject.entry.target), check)
    if first != check:
        raise Skip(f"not tried: follows from {first}") from error
    text = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}{place_of(error, subject.entry.target)}"
    raise CheckFailed(text + _log(subject.log)) from error


def _cause(error: BaseException, module: str) -> tuple[str, ...]:
    """What is the same of two failures that have one cause: the type, and the line of the plugin that raised; else what it says."""
    while isinstance(error, CheckFailed) and error.__cause__:
        error = error.__cause__
    place = place_of(error, module, only=True)
    return (type(error).__name__, place or str(error))


def _log(log: Path | None) -> str:
    """The end of an engine's log, which is kept: the folder that it is in goes with the subject."""
    if log is None or not log.is_file():
        return ""
    kept = Path(tempfile.mkdtemp(prefix="swift-check-log-")) / "log.txt"
    shutil.copyfile(log, kept)
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"\nThe engine's log, {kept}, ends:\n" + "\n".join(f"  {line[:500]}" for line in lines[-_SHOWN:] or ["(it is empty)"])
