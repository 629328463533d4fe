"""Checks of a task on the tiny model: the encoding of rows, and that training lowers the loss."""

from __future__ import annotations

from itertools import chain
from typing import Any

from swift_core.contract import RawRow, SwiftError, TaskSpec
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

TASK = "task"
_NEEDS = ("torch", "transformers", "swift_train")


def _encoder(subject: Subject) -> Any:
    if not subject.spec.trainer.startswith("swift_train."):
        raise Skip("it has its own trainer")
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(subject.tiny_model)
    return subject.build().encoder(tokenizer)


@check(TASK)
def check_row_kinds(subject: Subject) -> None:
    """`rows` lists kinds of row that datasets can have."""
    spec: TaskSpec = subject.spec
    require(spec.rows, "it accepts no kind of row")
    unknown = [kind for kind in spec.rows if kind not in tiny.ROWS]
    require(not unknown, f"rows: unknown kind {', '.join(unknown)}; the kinds are {', '.join(tiny.ROWS)}")


@check(TASK, needs=_NEEDS)
def check_encoding(subject: Subject) -> None:
    """A row of each of its kinds is encoded with some supervised tokens, and its own `check` accepts the result."""
    encoder = _encoder(subject)
    for kind in subject.spec.rows:
        raw = RawRow(dict(tiny.ROWS[kind]), "rows.jsonl", 1)
        scripts = encoder.texts(raw)
        sequences = list(chain.from_iterable(encoder.tokeniser(scripts)))
        supervised = sum(span.stop - span.start for encoded in sequences for span in encoded.spans)
        require(supervised, f"a {kind} row has no supervised tokens")
        encoder.check(raw, sequences)


@check(TASK, needs=_NEEDS)
def check_other_row_kinds_are_refused(subject: Subject) -> None:
    """A row of another kind is a SwiftError that names file and row: it must not be trained on in part."""
    encoder = _encoder(subject)
    for kind in ("text", "chat"):
        if kind not in subject.spec.rows:
            try:
                encoder.texts(RawRow(dict(tiny.ROWS[kind]), "rows.jsonl", 7))
            except SwiftError as error:
                require("rows.jsonl, row 7" in str(error), f"the error does not name the row: {error}")
                continue
            raise CheckFailed(f"it accepts a {kind} row, but has rows={subject.spec.rows}")


@check(TASK, needs=_NEEDS)
def check_loss_decreases(subject: Subject) -> None:
    """A few training steps, run as in a worker, lower the loss and write a checkpoint."""
    if not subject.spec.trainer.startswith("swift_train."):
        raise Skip("it has its own trainer")
    if subject.spec.carry_out:
        raise Skip("it needs a server")
    training = library("swift_train.testing")
    kind = subject.spec.rows[0]
    rows = training.write_rows(subject.folder / "rows.jsonl", [tiny.ROWS[kind], tiny.BAD if kind == "label" else tiny.ROWS[kind]] * 4)
    settings = {"max_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "warmup_ratio": 0.0}
    given = {name: subject.placed(value) for name, value in subject.example.options.items()}
    run = training.training_run(subject.tiny_model, rows, task=subject.spec.name, tuner="full", **{**given, **settings})
    folder = subject.new_folder("run")
    losses = [line["loss"] for line in training.run_training(run, folder) if "loss" in line]
    require(len(losses) == 6, f"six steps were requested, but {len(losses)} reported a loss")
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in six steps")
    require((folder / "output").is_dir(), "it wrote no checkpoint")
