"""The job of `swift fetch`: resolving the run has downloaded the model already, so its folder is the result."""

from __future__ import annotations

from pathlib import Path

from swift_core.contract import Run, RunResult
from swift_core.runs import Context


def carry_out(run: Run, context: Context) -> RunResult:
    """Return the folder of the model and its identity; no run folder is made."""
    source = run.model
    figures = {"reference": source.reference, "family": source.family, "sha256": source.hash} if source else {}
    return RunResult(status="done", folder=Path(), output=Path(source.path) if source else None, figures=figures)
