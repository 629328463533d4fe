"""`swift fetch`."""

from __future__ import annotations

from pathlib import Path

from swift_core.cli.screen import Screen
from swift_core.cli.verb import VerbCommand
from swift_core.contract.run import Run, RunResult


def fetched(run: Run, screen: Screen) -> RunResult:
    """Return the path of the model, which was fetched when the run was resolved."""
    source = run.model
    figures = {"reference": source.reference, "family": source.family, "sha256": source.hash} if source else {}
    return RunResult(status="done", folder=Path(), output=Path(source.path) if source else None, figures=figures)


command = VerbCommand("fetch", fetched, positional="model")
