"""Checks of a parallel strategy: two processes have the loss curve of one, and resuming does not change it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from swift_core.plugins import registry
from swift_testing.kit.model import Skip, check, require
from swift_testing.kit.subject import Subject, library

PARALLEL = "parallel"
_NEEDS = ("torch", "transformers", "swift_train")
_ROWS = 11  # a step of eight rows and one of three, so that the last step is uneven
_CLOSE = 1e-4  # maximum difference of a loss
_SAVED = 2e-3  # maximum difference of a weight after four steps at a learning rate of 0.003


def _run(subject: Subject, ranks: int, **more: Any) -> Any:
    if subject.spec.trains is not None:
        raise Skip("it has its own trainer")
    subject.needs_engine()
    training = library("swift_train.testing")
    options = subject.options()
    rows = subject.folder / "rows.jsonl"
    if not rows.is_file():
        training.write_rows(rows, training.ragged_chats(_ROWS))
    return training.training_run(
        subject.tiny_model,
        rows,
        tuner="full",
        parallel=subject.spec.name,
        parallel_options=options.model_dump(mode="json") if options else None,
        **{
            "batch_size": 1,
            "gradient_accumulation_steps": 8 // ranks,
            "epochs": 2,
            "max_grad_norm": 0.5,
            "learning_rate": 3e-3,
            **more,
        },
    )


def _losses(metrics: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in metrics if "loss" in line]


def _whole(subject: Subject, ranks: int) -> list[float]:
    """Return the loss curve of an uninterrupted run on that many processes."""
    training = library("swift_train.testing")

    def make() -> list[float]:
        run = _run(subject, ranks)
        return _losses(training.on_ranks(ranks, partial(training.run_training, run, subject.folder / f"whole-on-{ranks}"))[0])

    return subject.keep(f"whole {ranks}", make)


@check(PARALLEL, needs=_NEEDS)
def check_data_parallel_loss(subject: Subject) -> None:
    """Two processes have the loss curve of one: the result must not depend on the number of GPUs."""
    one, two = _whole(subject, 1), _whole(subject, 2)
    require(len(one) == 4, f"four steps were requested, but one process reported {len(one)}")
    difference = max(abs(a - b) for a, b in zip(one, two, strict=False)) if len(one) == len(two) else float("inf")
    require(difference <= _CLOSE, f"one process has the losses {one}, two processes {two}")


@check(PARALLEL, needs=_NEEDS)
def check_saved_weights(subject: Subject) -> None:
    """The checkpoint of two processes contains all final weights, equal to those of a single process with ddp."""
    from safetensors.torch import load_file

    training = library("swift_train.testing")
    _whole(subject, 2)
    plain = replace(_run(subject, 1), parts={**_run(subject, 1).parts, "parallel": registry().default("parallel", "ddp")})
    folder = subject.new_folder("plain")
    training.on_ranks(1, partial(training.run_training, plain, folder))
    one, two = (load_file(place / "output" / "model.safetensors") for place in (folder, subject.folder / "whole-on-2"))
    wrong = sorted(name for name in {*one, *two} if name not in one or name not in two or one[name].shape != two[name].shape)
    require(not wrong, f"weights that are missing or have another shape: {', '.join(wrong[:3])}")
    difference = max(float((one[name] - two[name]).abs().max()) for name in one)
    require(difference <= _SAVED, f"the saved weights of two processes differ by {difference:.2g} from those of one")


@check(PARALLEL, needs=_NEEDS)
def check_micro_batch_rows(subject: Subject) -> None:
    """A micro-batch of two rows is computed in one pass, without attention across rows, and has the loss curve of single rows."""
    training = library("swift_train.testing")
    single = _whole(subject, 1)
    run, folder = _run(subject, 1, batch_size=2, gradient_accumulation_steps=4), subject.new_folder("pairs")
    both = _losses(training.on_ranks(1, partial(training.run_training, run, folder))[0])
    rows = json.loads((folder / "parallel.json").read_text(encoding="utf-8"))["rows"]
    require(rows["together"], f"two rows of a Llama affect each other, so each row is computed alone: {rows.get('reason')}")
    difference = max(abs(a - b) for a, b in zip(single, both, strict=False)) if len(single) == len(both) else float("inf")
    require(difference <= _CLOSE, f"with one row per micro-batch it has the losses {single}, with two {both}")


@check(PARALLEL, needs=_NEEDS)
def check_resume(subject: Subject) -> None:
    """A run that was stopped and resumed has bitwise the loss curve of an uninterrupted one."""
    training = library("swift_train.testing")
    whole, folder = _whole(subject, 2), subject.new_folder("parts")
    first = training.on_ranks(2, partial(training.run_training, _run(subject, 2), folder, stop_after=2))[0]
    again = _run(subject, 2, verb_options={"resume": str(folder)})
    second = training.on_ranks(2, partial(training.run_training, again, folder))[0]
    parts = _losses(first) + _losses(second)
    require(parts == whole, f"stopped and resumed, the losses are {parts}; uninterrupted, {whole}")
