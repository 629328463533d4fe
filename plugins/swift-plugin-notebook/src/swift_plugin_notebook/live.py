"""The live display of a training: one output of the cell, drawn again when there are new metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_plugin_notebook.shell import notebook_shell

if TYPE_CHECKING:
    from swift_core.contract import Run

SECONDS = 1.0  # between two drawings of a run
_open: dict[Path, Live] = {}


@dataclass(slots=True)
class Live:
    """The display of one run."""

    handle: Any  # an IPython.display.DisplayHandle
    folder: Path  # the run folder
    drawn: float = field(default_factory=time.monotonic)  # when it was drawn last

    def draw(self, *, last: bool = False) -> None:
        """Draw the curves as they are now; not more often than once in `SECONDS`, unless it is the last time."""
        if not last and time.monotonic() - self.drawn < SECONDS:
            return
        from swift_plugin_notebook.pages import curves_page, framed

        self.drawn = time.monotonic()
        self.handle.update(framed(curves_page(self.folder)))


def started(run: Run, folder: Path) -> None:
    """Prepare the notebook for results, and open the display of a run that trains; do nothing outside of notebooks."""
    shell = notebook_shell()
    if shell is None:
        return
    from swift_plugin_notebook.pages import curves_page, framed, show_results_as_reports

    show_results_as_reports(shell)
    if "task" in run.parts:
        handle: Any = import_module("IPython.display").DisplayHandle()
        handle.display(framed(curves_page(folder)))
        _open[folder] = Live(handle, folder)


def changed(folder: Path) -> None:
    """Draw a run that has new metrics."""
    if live := _open.get(folder):
        live.draw()


def finished(folder: Path) -> None:
    """Draw a run that has ended, and close its display."""
    if live := _open.pop(folder, None):
        live.draw(last=True)
