"""What an output must not take the place of: what the run reads, and the folders that somebody works in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.run import Run
from swift_core.specs import Problem


def problems(run: Run) -> Iterator[Problem]:
    """Say what `--output`, which replaces a whole folder with `--overwrite`, would take away."""
    output = str(run.options.get("output") or "")
    if not output:
        return
    place = Path(output).expanduser().resolve()
    for what, path in _kept(run):
        kept = path.resolve()
        if place == kept or place in kept.parents:
            holds = "is" if place == kept else "holds"
            message = f"'{output}' {holds} {what}, which the result would take the place of"
            yield Problem(where="output", message=message, hint="Choose another folder, which need not exist yet.")
            return


def _kept(run: Run) -> Iterator[tuple[str, Path]]:
    if run.model:
        yield "the model of this run", Path(run.model.path)
    for source in run.adapters.values():
        yield "an adapter of this run", Path(source.path)
    for data in (*run.datasets, *run.validation):
        if (path := Path(data.asked.partition("#")[0]).expanduser()).exists():
            yield "the data of this run", path
    yield "the folder that this command runs in", Path.cwd()
    yield "your home folder", Path("~").expanduser()
    if runs := str(run.options.get("runs") or ""):
        yield "the folder of the runs", Path(runs)
