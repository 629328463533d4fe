"""Progress on a terminal: bars for downloads and training, and notes above them. Without a terminal only the notes are printed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from swift_core.cli.output import note

if TYPE_CHECKING:
    from swift_core.contract import Event, Run, RunResult, Watch

_SHOWN = ("loss", "tokens_per_second")
_LONG = 500_000_000  # bytes


class Screen:
    """Show the events of a run; if `quiet`, only errors."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty() and not quiet
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._reported: set[str] = set()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the progress bars."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()

    def note(self, text: str) -> None:
        """Print a note above the progress bars."""
        if self.quiet:
            return
        if self._bars is not None:
            self._bars.console.print(f"note: {text}", style="dim", markup=False, highlight=False, soft_wrap=True)
        else:
            note(text)

    def download(self, what: str, done: int, total: int | None) -> None:
        """Show the progress of a download, in bytes; without a terminal, print a note for each large one."""
        if not self.terminal and what not in self._reported and (total is None or total > _LONG):
            self._reported.add(what)
            self.note(f"{what} ({total / 1e6:,.0f} MB)" if total else what)
        self._update(what, done, total, "bytes", "")

    def watch(self, event: Event) -> None:
        """Show an event of a run."""
        if event["event"] == "note":
            self.note(event["text"])
        elif event["event"] == "progress":
            shown = "  ".join(f"{name.replace('_', ' ')} {event['figures'][name]:.4g}" for name in _SHOWN if name in event["figures"])
            self._update(event["what"], event["done"], event["total"], event["unit"], shown)

    def carry_out(self, run: Run, *, watch: Watch | None = None) -> RunResult:
        """Carry out a run and show its events, or pass them to `watch` instead."""
        from swift_core.runs import Context, carry_out

        runs = Path(run.options.get("runs", "runs"))
        context = Context(runs=runs, watch=watch or self.watch, started=lambda folder: self.note(f"run folder {folder}"))
        result: RunResult = carry_out(run, context)
        return result

    def _update(self, what: str, done: int, total: int | None, unit: str, shown: str) -> None:
        if not self.terminal:
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, unit=unit, shown="")
        count = (
            f"{done / 1e6:.1f}{f'/{total / 1e6:.1f}' if total else ''} MB"
            if unit == "bytes"
            else f"{done}{f'/{total}' if total else ''} {unit}"
        )
        self._bars.update(self._tasks[what], completed=done, total=total, unit=count, shown=shown)


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[shown]}", style="cyan"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=4,
    )
