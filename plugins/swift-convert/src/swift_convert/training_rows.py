"""Calibration on the rows of the training that made a checkpoint: `--training-rows`, which ms-swift calls `--load_data_args`.

Which runs made a checkpoint follows from its place and its manifest (`swift_provenance.lineage`); the nearest one with rows counts, so that
of a merged model it is the training of the adapter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_data.choices import fetch_dataset
from swift_provenance.lineage import history

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_core.runs import Draft

_HINT = "Name the calibration rows: --dataset FILE."


def prepare(draft: Draft) -> None:
    """Take the training's datasets as the calibration set (`VerbSpec.prepare`).

    Raises:
        UsageError: other rows are named too, the checkpoint is not local, or no training that made it is known.
    """
    if not draft.options["training_rows"]:
        return
    if draft.datasets:
        raise UsageError(
            "it can't be combined with other rows",
            code="CONVERT-048",
            where="training_rows",
            hint="Omit --training-rows, or the other rows.",
        )
    folder = Path(str(draft.options["model"]).removeprefix("file:")).expanduser()
    if not folder.is_dir():
        raise UsageError("the checkpoint is not in a local folder", code="CONVERT-049", where="training_rows", hint=_HINT)
    runs = Path(draft.options["runs"])
    training = next((made.run for made in history(folder, runs) if made.run and "task" in made.run.parts and made.data), None)
    if training is None:
        message = f"the training of {folder} was not found: it is not in a run folder, and none in {runs} has it as its output"
        raise UsageError(message, code="CONVERT-050", where="training_rows", hint=f"{_HINT} --runs names the parent of the run folders.")
    draft.datasets = tuple(fetch_dataset(choice, draft.progress) for choice in training.datasets)
    draft.notes.append(f"--training-rows: calibration on {', '.join(choice.asked for choice in draft.datasets)}")
