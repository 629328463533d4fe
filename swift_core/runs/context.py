"""Carry out a resolved run: by workers, or by the verb's own function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swift_core.contract import Run, RunResult, Watch
from swift_core.plugins import find_verb
from swift_core.runs.execution import execute
from swift_core.runs.reservation import held
from swift_core.system import new_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context in which a run is carried out.

    `folder` is its run folder, made in `runs` if None. `watch` is called with every event, `started` with the run folder before the first
    worker starts.
    """

    runs: Path
    folder: Path | None = None
    watch: Watch | None = None
    started: Callable[[Path], None] | None = None

    def make_folder(self, run: Run) -> Path:
        """Return the run folder; create it if there is none."""
        return self.folder or new_folder(run, self.runs)


def carry_out(run: Run, context: Context) -> Any:
    """Carry out a resolved run. `--output` is reserved for it from start to end.

    Returns:
        A `RunResult`, or what a verb without a run folder gives (a loaded model).

    Raises:
        UsageError: another run is writing the output.
        Stopped, SwiftError: as `execute`.
    """
    verb = find_verb(run.verb)
    with ExitStack() as stack:
        if run.options.get("output") and "overwrite" in run.options:
            record = stack.enter_context(held(Path(run.options["output"])))
            folder = context.make_folder(run)
            record(folder)
            context = replace(context, folder=folder)
        return verb.carry_out.load()(run, context) if verb and verb.carry_out else execute_run(run, context)


def execute_run(run: Run, context: Context) -> RunResult:
    """Execute the run's job in workers."""
    return execute(run, context.runs, watch=context.watch, folder=context.folder, started=context.started)
