"""Protected folders that an output must not replace: the inputs of the run, and the user's working, home and runs folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import Problem, Run


def problems(run: Run) -> Iterator[Problem]:
    """Yield a problem if `--output`, which replaces a whole folder with `--overwrite`, would delete a protected path."""
    output = str(run.options.get("output") or "")
    if not output:
        return
    place = Path(output).expanduser().resolve()
    for what, path in _kept(run):
        if place == (kept := path.resolve()) or place in kept.parents:
            holds = "is" if place == kept else "contains"
            message = f"'{output}' {holds} {what}, which the result would replace"
            yield Problem(code="RUN-016", where="output", message=message, hint="Choose another folder, which need not exist yet.")
            return


def _kept(run: Run) -> Iterator[tuple[str, Path]]:
    if run.model:
        yield "the model of this run", Path(run.model.path)
    for source in run.adapters.values():
        yield "an adapter of this run", Path(source.path)
    for data in (*run.datasets, *run.validation):
        if (path := Path(data.asked.partition("#")[0]).expanduser()).exists():
            yield "the data of this run", path
    yield "the current working directory", Path.cwd()
    yield "your home folder", Path("~").expanduser()
    if runs := str(run.options.get("runs") or ""):
        yield "the runs folder", Path(runs)
