"""The run folder: `run.json` (the resolved run), `result.json`, and the fingerprint by which a finished run is found again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast

from swift_core.contract import ResultRecord, Run, UsageError
from swift_core.system import paths


def fingerprint(run: Run) -> str:
    """Return a hash over everything that determines the result, without paths and the output folder."""
    data = run.to_json()
    del data["plugins"]  # a part that one of them offers has the file's hash as its version
    del data["date"]  # what was made yesterday is made
    for source in [data["model"], *data["adapters"].values()]:
        if source:
            del source["path"], source["reference"]
    for choice in data["parts"].values():
        del choice["python"]
    del data["without_effect"]
    data["options"] = run.options_with_effect()
    return paths.digest(data)


def new_folder(run: Run, runs: Path) -> Path:
    """Make `runs/YYYYmmdd-HHMMSS-verb-xxxx` with the run's `run.json` in it."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = runs / f"{stamp}-{run.verb.replace('/', '-')}-{secrets.token_hex(2)}"
    write_run(run, folder)
    return folder


def write_run(run: Run, folder: Path) -> None:
    """Write `run.json`; the places in it are absolute, so that it can be read from anywhere."""
    paths.write_json(folder / "run.json", _with_absolute_paths(run).to_json())


def _with_absolute_paths(run: Run) -> Run:
    """Return the run with absolute paths of its output and of the run that it resumes."""
    options = dict(run.options)
    for name in ("output", "runs"):
        if options.get(name):
            options[name] = str(Path(options[name]).absolute())
    resume = options.get("resume")
    if isinstance(resume, str) and resume:
        options["resume"] = str(Path(resume).absolute())
    elif isinstance(resume, Mapping) and resume.get("name"):
        options["resume"] = {**resume, "name": str(Path(resume["name"]).absolute())}
    return replace(run, options=options)


def write_result(folder: Path, result: ResultRecord) -> None:
    """Write `result.json`, with absolute paths."""
    places = {"folder": str(folder.absolute())}
    if output := result.get("output"):
        places["output"] = str(Path(output).absolute())
    paths.write_json(folder / "result.json", {"schema": 1, **result, **places})


def read_result(folder: Path) -> ResultRecord | None:
    """Return what `result.json` holds; None for a run that has not ended."""
    try:
        return cast(ResultRecord, json.loads((folder / "result.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None


def made_by(folder: Path) -> Path | None:
    """Return the output of the run in `folder`, wherever the folder is now; None if it has none.

    What lay in the run folder is looked for in it, though that has been moved or copied.
    """
    result = read_result(folder)
    if not result or not result.get("output"):
        return None
    made, before = Path(result["output"]), Path(result.get("folder") or folder)
    return folder / made.relative_to(before) if made.is_relative_to(before) else made


def read_run(folder: Path) -> Run:
    """Read `run.json`.

    Raises:
        UsageError: the folder is not a run folder.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise UsageError(
            "not a run folder: it has no run.json",
            code="FILE-008",
            where=str(folder),
            hint="Run folders are in runs/, or in the folder that --runs names.",
        )
    return Run.from_json(json.loads(path.read_text(encoding="utf-8")))


def output_path(run: Run, folder: Path) -> Path:
    """The folder of the run's checkpoint: `--output`, else `output` in the run folder."""
    return Path(run.options["output"]) if run.options.get("output") else folder / "output"
