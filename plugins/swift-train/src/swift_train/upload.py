"""Upload the output of a training to a hub (`--push-to-hub`), as `swift push` does, once the run is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.cli import note
from swift_core.contract import Problem, SwiftError

if TYPE_CHECKING:
    from swift_core.contract import Run, RunResult

_TOKENS = {"hf": "HF_TOKEN", "ms": "MODELSCOPE_API_TOKEN"}
_LATER = ("prepared", "submitted")


def upload(run: Run, result: RunResult) -> None:
    """Upload what a run has made, if it is to be uploaded.

    Raises:
        SwiftError: it could not be uploaded; the output is kept, and the hint says how to upload it.
    """
    if not run.options.get("push_to_hub"):
        return
    if result.status in _LATER:
        note(f"Nothing is uploaded by a run that a scheduler does later: swift push {result.folder} {_target(run, result.folder)}")
        return
    if result.status != "done" or result.output is None:
        return
    from swift_hub import push

    target = _target(run, result.output)
    try:
        files = push.prepare(result.output, push.with_owner(target))
        address = push.push(files, message="Upload after training", private=bool(run.options["hub_private_repo"]))
    except SwiftError as error:
        hint = f"{error.hint} The output is kept; upload it with: swift push {result.output} {target}".strip()
        raise error.with_context(hint=hint) from error.__cause__
    note(f"Uploaded to {address}")


def problems(run: Run) -> Iterator[Problem]:
    """Yield why a run could not upload its output, before it starts."""
    if not run.options.get("push_to_hub"):
        return
    scheme, _, _ = _target(run, Path("output")).partition(":")
    variable = _TOKENS.get(scheme, "")
    if variable and not os.environ.get(variable):
        message = f"no token to upload with: {variable} is not set"
        yield Problem(code="TRAIN-229", where="push_to_hub", message=message, hint=f"Set {variable}, or upload afterwards: swift push.")
    name = run.options["hub_model_id"]
    if scheme == "ms" and "/" not in name:
        message = "ModelScope's repositories are named with their owner"
        yield Problem(code="TRAIN-273", where="hub_model_id", message=message, hint="Write --hub-model-id OWNER/NAME.")


def _target(run: Run, output: Path) -> str:
    """Return the reference of the repository: that of the option, on the hub of the run if it names none."""
    name = str(run.options["hub_model_id"]) or output.absolute().name
    return name if ":" in name else f"{run.options.get('hub') or 'hf'}:{name}"
