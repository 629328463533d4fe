"""Convert a checkpoint to a format that a loader reads, in a worker; the result is cached."""

from __future__ import annotations

from pathlib import Path

from swift_core.contract import Choice, Run, Source, Watch
from swift_core.runs.execution import execute
from swift_core.system import paths


def converted(job: str, source: Source, loader: Choice, target: Path, watch: Watch) -> None:
    """Convert `source` with the loader's job, and write the result to `target`.

    Raises:
        SwiftError: the conversion failed.
    """
    run = Run(verb="convert", job=job, model=source, options={"output": str(target)}, parts={"loader": loader})
    execute(run, paths.cache_dir("runs"), watch=watch)
