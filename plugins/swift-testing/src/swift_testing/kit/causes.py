"""Report each cause of failure once: a check that fails for a reason reported before is skipped and names the earlier check."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NoReturn

from swift_core.system import failure_site_of
from swift_testing.kit.model import CheckFailed, Skip
from swift_testing.kit.subject import Subject

_LOG_LINES = 12  # lines shown of the end of an engine's log


def report_failure(subject: Subject, check: str, error: Exception) -> NoReturn:
    """Raise the failure of a check, with the line that raised it and the end of the engine's log.

    Raises:
        CheckFailed: no other check of the subject has failed for this reason.
        Skip: an earlier check has failed for this reason.
    """
    first = subject.faults.setdefault(_cause(error, subject.entry.target), check)
    if first != check:
        raise Skip(f"not run: same cause as the failure of {first}") from error
    text = (
        str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}{failure_site_of(error, subject.entry.target)}"
    )
    raise CheckFailed(text + _log(subject.log)) from error


def _cause(error: BaseException, module: str) -> tuple[str, ...]:
    """Return a key for the cause of a failure: the exception type and the plugin's line that raised it, or else the message."""
    while isinstance(error, CheckFailed) and error.__cause__:
        error = error.__cause__
    place = failure_site_of(error, module, only=True)
    return (type(error).__name__, place or str(error))


def _log(log: Path | None) -> str:
    """Return the end of an engine's log, and keep a copy of the log, since its folder is removed with the subject."""
    if log is None or not log.is_file():
        return ""
    kept = Path(tempfile.mkdtemp(prefix="swift-check-log-")) / "log.txt"
    shutil.copyfile(log, kept)
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"\nEnd of the engine's log ({kept}):\n" + "\n".join(f"  {line[:500]}" for line in lines[-_LOG_LINES:] or ["(empty)"])
