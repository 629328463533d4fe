"""A local plugin that keeps a diary of runs, and warns of long ones: `swift --plugin docs/examples/run_diary.py sft …`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Problem, ResultRecord

if TYPE_CHECKING:
    from swift_core.contract import Run


# -- start swift_check --
@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Forbid what would take days on this machine, and say what is merely long."""
    if "task" not in run.parts:
        return
    steps = run.parts["task"].options.get("max_steps") or 0
    if steps > 100_000:
        yield Problem(where="max_steps", message=f"{steps} steps are more than this machine is for", hint="Take fewer: --max-steps 1000.")
    elif steps > 1_000:
        yield Problem(where="max_steps", message="this will take a while", fatal=False)


# -- end swift_check --


# -- start swift_run_started --
@hookimpl
def swift_run_started(run: Run, folder: Path) -> None:
    """Begin a page."""
    _note(folder, f"{run.verb} of {run.model.reference if run.model else 'no model'}")


# -- end swift_run_started --


# -- start swift_metrics --
@hookimpl
def swift_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """A hook takes the arguments that it needs: this one does without `run`."""
    if "loss" in metrics:
        _note(folder, f"step {metrics['step']}: loss {metrics['loss']:.3f}")


# -- end swift_metrics --


# -- start swift_run_finished --
@hookimpl
def swift_run_finished(folder: Path, result: ResultRecord) -> None:
    """End the page, however the run ended."""
    _note(folder, f"{result['status']} {json.dumps(result.get('figures', {}).get('loss_last'))} {result.get('error', '')}".strip())


# -- end swift_run_finished --


def _note(folder: Path, text: str) -> None:
    with (folder / "diary.txt").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")
