"""An audit log of every run: who ran what, on which data and base, with which versions, and what came of it.

The log is a file of chained JSON lines (`entry`, `log`), its head is signed and kept in a second place (`heads`), and `verify` names the
first line that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Problem, ResultRecord, Run


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Check that the log can be written: a problem if SWIFT_AUDIT is `required`, else a note."""
    from swift_plugin_audit import observer

    return observer.problems()


@hookimpl
def swift_run_started(run: Run, folder: Path) -> None:
    """Record the run, and the runs that ended without a record since."""
    from swift_plugin_audit import observer

    observer.started(run, folder)


@hookimpl
def swift_run_finished(run: Run, folder: Path, result: ResultRecord) -> None:
    """Record how the run ended, and what it made."""
    from swift_plugin_audit import observer

    observer.finished(run, folder, result)
