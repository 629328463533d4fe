"""The report of each run, as an observer of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import ResultRecord, Run


@hookimpl
def swift_run_finished(run: Run, folder: Path, result: ResultRecord) -> None:
    """Write `report.html` into the run folder."""
    from swift_recipes.page import write_report

    write_report(folder)
