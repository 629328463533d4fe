"""Runs in Jupyter notebooks: live curves of trainings below the cell that started them, and results shown as reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import ResultRecord, Run


@hookimpl
def swift_run_started(run: Run, folder: Path) -> None:
    """In a notebook: show results as reports from now on, and open the display of a training."""
    from swift_plugin_notebook import live

    live.started(run, folder)


@hookimpl
def swift_metrics(run: Run, folder: Path, metrics: Mapping[str, float]) -> None:
    """Draw the curves again."""
    from swift_plugin_notebook import live

    live.changed(folder)


@hookimpl(trylast=True)
def swift_run_finished(run: Run, folder: Path, result: ResultRecord) -> None:
    """Draw the curves a last time, with the state in which the run ended."""
    from swift_plugin_notebook import live

    live.finished(folder)
