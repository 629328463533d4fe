"""A task on the tiny model: what it makes of rows, and that it learns."""

from __future__ import annotations

from itertools import chain
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.roles import RawRow
from swift_core.contract.specs import TaskSpec
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

TASK = "task"
_NEEDS = ("torch", "transformers", "swift_train")


def _encoder(subject: Subject) -> Any:
    if not subject.spec.trainer.startswith("swift_train."):
        raise Skip("its trainer is its own")
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(subject.tiny_model)
    return subject.build().encoder(tokenizer)


@check(TASK)
def check_kinds(subject: Subject) -> None:
    """`rows` are kinds of row that data sets can have."""
    spec: TaskSpec = subject.spec
    require(spec.rows, "it takes no rows")
    unknown = [kind for kind in spec.rows if kind not in tiny.ROWS]
    require(not unknown, f"rows: there is no kind {', '.join(unknown)}; there are {', '.join(tiny.ROWS)}")


@check(TASK, needs=_NEEDS)
def check_rows_are_encoded(subject: Subject) -> None:
    """A row of each of its kinds becomes tokens of which some are learned, and its own second check agrees with it."""
    encoder = _encoder(subject)
    for kind in subject.spec.rows:
        raw = RawRow(dict(tiny.ROWS[kind]), "rows.jsonl", 1)
        scripts = encoder.texts(raw)
        sequences = list(chain.from_iterable(encoder.tokeniser(scripts)))
        learned = sum(span.stop - span.start for encoded in sequences for span in encoded.spans)
        require(learned, f"nothing is learned of a {kind} row")
        encoder.check(raw, sequences)


@check(TASK, needs=_NEEDS)
def check_other_rows_are_refused(subject: Subject) -> None:
    """A row of a kind that it does not take is a SwiftError that names file and row: half-understood rows would be learned."""
    encoder = _encoder(subject)
    for kind in ("text", "chat"):
        if kind not in subject.spec.rows:
            try:
                encoder.texts(RawRow(dict(tiny.ROWS[kind]), "rows.jsonl", 7))
            except SwiftError as error:
                require("rows.jsonl, row 7" in str(error), f"the error does not name the row: {error}")
                continue
            raise CheckFailed(f"it takes a {kind} row, but rows={subject.spec.rows}")


@check(TASK, needs=_NEEDS)
def check_the_loss_falls(subject: Subject) -> None:
    """A few steps on a handful of rows, as a worker takes them, lower the loss, and leave a checkpoint."""
    if not subject.spec.trainer.startswith("swift_train."):
        raise Skip("its trainer is its own")
    training = library("swift_train.testing")
    rows = training.write_rows(subject.folder / "rows.jsonl", [tiny.ROWS[subject.spec.rows[0]]] * 8)
    run = training.training_run(
        subject.tiny_model, rows, task=subject.spec.name, tuner="full", max_steps=6, batch_size=4, learning_rate=3e-3, warmup_ratio=0.0
    )
    folder = subject.new_folder("run")
    losses = [line["loss"] for line in training.run_training(run, folder) if "loss" in line]
    require(len(losses) == 6, f"six steps were asked for, and {len(losses)} reported a loss")
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in six steps")
    require((folder / "output").is_dir(), "it left no checkpoint")
