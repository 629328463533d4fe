"""HTML reports of runs, made of sections that plugins offer; the command `report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swift_report.runs import ReportedRun as ReportedRun


def report(*runs: str | Path, output: str | Path = "", names: Sequence[str] = ()) -> Path:
    """Write the report of a run, of a recipe, or of several runs side by side; return its path.

    Args:
        runs: run folders.
        output: the file; default: `report.html` in the folder, if it is one.
        names: what the report calls the runs; default: the names of their folders.

    Raises:
        UsageError: a folder is not a run folder, or there is no place for the report.
    """
    from swift_report.page import write_report

    return write_report([Path(run) for run in runs], Path(output) if output else None, names=names)
