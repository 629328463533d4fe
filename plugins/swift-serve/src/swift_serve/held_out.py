"""The rows that a training held out, as questions to its result: `--held-out`, which ms-swift calls `--load_data_args`.

A training writes the places of the rows that it holds out to `held_out.json` in its run folder; which run made a checkpoint follows from
its place (`swift_provenance.lineage`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_data.choices import fetch_dataset
from swift_data.reading import raw_rows
from swift_provenance.lineage import maker_of

from swift_core.contract import RawRow, Run, UsageError
from swift_core.system import read_run

if TYPE_CHECKING:
    from swift_core.runs import Draft

HELD_OUT = "held_out.json"  # in a run folder: {"rows": ["FILE, row N", …]}
_HINT = "Name the rows to answer: --val_dataset FILE."


def prepare(draft: Draft) -> None:
    """Take the datasets of the training that made the checkpoint, and its system prompt (`VerbSpec.prepare`).

    Raises:
        UsageError: other rows are named too, or the training can't be found, or it held out none.
    """
    if not draft.options["held_out"]:
        return
    if draft.datasets or draft.options["questions"]:
        raise UsageError(
            "it can't be combined with other questions", code="SERVE-095", where="held_out", hint="Omit --held-out, or the other rows."
        )
    _, training = training_of(draft.options)
    draft.datasets = tuple(fetch_dataset(choice, draft.progress) for choice in training.validation or training.datasets)
    if system := str(training.part("task").options.get("system") or ""):
        draft.options["system"] = draft.options["system"] or system
    draft.notes.append(f"--held-out: rows of {', '.join(choice.asked for choice in draft.datasets)}")


def training_of(options: Mapping[str, Any]) -> tuple[Path, Run]:
    """Return the run folder and the run of the training that made the checkpoint which the options of a verb name.

    Raises:
        UsageError: it is not a local checkpoint, no training that made it is known, or that has no validation rows.
    """
    named = [str(item).rpartition("=")[2] for item in (*(options["adapter"] or ()), options["model"]) if item]
    folder = next((path for path in (Path(name.removeprefix("file:")).expanduser() for name in named) if path.is_dir()), None)
    if folder is None:
        raise UsageError("the checkpoint is not in a local folder", code="SERVE-096", where="held_out", hint=_HINT)
    made = maker_of(folder.resolve(), Path(options["runs"]))
    training = read_run(made) if made else None
    if made and made.parent.name == "checkpoints":  # each checkpoint has the record of its run
        made = made.parent.parent
    if made is None or training is None or "task" not in training.parts:
        message = (
            f"the training run of {folder} was not found: it is not in a run folder, and none in {options['runs']} has it as its output"
        )
        raise UsageError(message, code="SERVE-097", where="held_out", hint=f"{_HINT} --runs names the parent of the run folders.")
    if not training.validation and not (made / HELD_OUT).is_file():
        raise UsageError(f"the training {made.name} has no validation rows", code="SERVE-098", where="held_out", hint=_HINT)
    return made, training


def asked_rows(run: Run) -> Iterator[RawRow]:
    """Return the rows of the run's datasets, or those that the training held out."""
    return rows(run) if run.options["held_out"] else (raw for choice in run.datasets for raw in raw_rows(choice))


def rows(run: Run) -> Iterator[RawRow]:
    """Yield the rows of a run with `held_out` that its model was not trained on."""
    folder, training = training_of(run.options)
    data = training.options.get("data", {})
    places = None if training.validation else set(json.loads((folder / HELD_OUT).read_text(encoding="utf-8"))["rows"])
    for choice in run.datasets:
        yield from (row for row in raw_rows(choice, data) if places is None or f"{row.file}, row {row.number}" in places)
