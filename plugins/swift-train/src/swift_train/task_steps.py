"""Steps of a task beside training: prepare the run, and carry it out with what it needs beside the workers, such as a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contract import TaskSpec
from swift_core.plugins import registry
from swift_core.runs import execute_run
from swift_train.upload import upload

if TYPE_CHECKING:
    from swift_core.contract import Run, RunResult
    from swift_core.runs import Context, Draft


def prepare(draft: Draft) -> None:
    """Let the task prepare the run (`TaskSpec.prepare`), before anything is downloaded."""
    if step := draft.known.spec(draft.parts["task"], TaskSpec).prepare:
        step.load()(draft)


def carry_out(run: Run, context: Context) -> RunResult:
    """Carry out the run as its task does (`TaskSpec.carry_out`), by default in workers."""
    own = registry().spec(run.part("task"), TaskSpec).carry_out
    done: RunResult = own.load()(run, context) if own else execute_run(run, context)
    upload(run, done)
    return done
