"""Checks of a task's loss on the tiny model: a weighted sum over supervised tokens, without attention across rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from swift_core.contract import RawRow
from swift_testing.kit import tiny
from swift_testing.kit.model import Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from torch.nn import Module

TASK = "task"
_NEEDS = ("torch", "transformers", "swift_train")
_CLOSE = 1e-3  # relative tolerance; float32 sums depend on the order
_ALONE = ("text", "chat")  # kinds of row whose loss is a sum over tokens


def _samples(subject: Subject) -> Any:
    """Return two encoded rows of different lengths, from a store as a worker uses it."""
    if not subject.spec.trainer.startswith("swift_train."):
        raise Skip("it has its own trainer")
    kind = next((kind for kind in subject.spec.rows if kind in _ALONE), None)
    if kind is None or "prompt" in subject.spec.rows:
        raise Skip("its loss is not a sum over tokens")
    store, samples = library("swift_train.store"), library("swift_train.samples")

    def make() -> Any:
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(subject.tiny_model)
        encoder = subject.build().encoder(tokenizer)
        rows = [tiny.ROWS[kind], _longer(tiny.ROWS[kind])]
        folder = subject.new_folder("store")
        folder.mkdir()
        with store.StoreWriter(folder) as writer:
            for number, row in enumerate(rows, 1):
                for encoded in chain(*encoder.tokeniser(encoder.texts(RawRow(row, "rows.jsonl", number)))):
                    writer.add(encoded, "rows.jsonl", number)
            writer.finish()
        return samples.Samples([store.Store(folder)])

    return subject.keep("samples", make)


def _longer(row: Any) -> dict[str, Any]:
    if "text" in row:
        return {"text": f"{row['text']} The answer is in the question."}
    question, answer = row["messages"]
    return {"messages": [question, {**answer, "content": f"{answer['content']} It is in the question."}]}


def _model(subject: Subject) -> Module:
    return subject.keep("base", lambda: tiny.base(subject.tiny_model))


def _micro(subject: Subject, rows: Sequence[int]) -> Any:
    group = library("swift_train.row_groups").RowGroup(tuple(rows), 1.0)
    return library("swift_train.batches").collate(_samples(subject), group)


def _loss(subject: Subject, micro: Any) -> float:
    import torch

    task = subject.build()
    with torch.no_grad():
        return float(task.loss(task.forward(_model(subject), micro), micro))


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _CLOSE * max(1.0, abs(one), abs(other))


@check(TASK, needs=_NEEDS)
def check_loss_is_a_sum(subject: Subject) -> None:
    """The loss of a row is the sum over its tokens: the loop normalises by the whole step, so a mean would weight short rows more."""
    micro = _micro(subject, [0])
    half = len(micro.labels) // 2
    parts = [
        _loss(subject, replace(micro, positions=micro.positions[part], labels=micro.labels[part], weights=micro.weights[part]))
        for part in (slice(half), slice(half, None))
    ]
    whole = _loss(subject, micro)
    require(_same(whole, sum(parts)), f"the loss of a row is {whole:.5g}, but those of its halves are {parts[0]:.5g} and {parts[1]:.5g}")


@check(TASK, needs=_NEEDS)
def check_loss_weights(subject: Subject) -> None:
    """The loss of each token is multiplied by its weight: rows and turns have weights, and padding rows of a rank have weight 0."""
    micro = _micro(subject, [0])
    once, thrice, none = (_loss(subject, replace(micro, weights=micro.weights * factor)) for factor in (1, 3, 0))
    require(_same(3 * once, thrice), f"with weights of 1 the loss is {once:.5g}, with weights of 3 it is {thrice:.5g}")
    require(_same(none, 0), f"with weights of 0 the loss is {none:.5g}")


@check(TASK, needs=_NEEDS)
def check_packed_rows_are_isolated(subject: Subject) -> None:
    """Two rows packed into one micro-batch have the same losses as alone: they must not attend to each other."""
    together = _loss(subject, _micro(subject, [0, 1]))
    alone = [_loss(subject, _micro(subject, [row])) for row in (0, 1)]
    losses = f"two rows in one micro-batch have the loss {together:.5g}, but alone {alone[0]:.5g} and {alone[1]:.5g}"
    require(_same(together, sum(alone)), f"{losses}: forward() must pass the row boundaries to the model (`micro.row_arguments`)")
