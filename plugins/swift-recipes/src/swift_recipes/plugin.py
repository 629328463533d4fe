"""The report of each run, as an observer of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Run


@hookimpl
def swift_run_finished(run: Run, folder: Path, result: Mapping[str, Any]) -> None:
    """Write `report.html` into the run folder."""
    from swift_recipes.page import write_report

    write_report(folder)
