"""Losses over the vectors of a whole step, whatever its micro-batches and ranks (GradCache, Gao et al. 2021, arXiv:2101.06983).

A pass without gradients gives all vectors of the step on every rank; the loss and its gradient by each vector are computed from them. In
the pass with gradients, each micro-batch has the sum of its vectors times those gradients as its loss, which has the same gradient by the
parameters. So a step is one large batch, with the memory of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from swift_train.adapters import inner_model
from swift_train.tasks import Loss, Measure

from swift_plugin_retrieval.embedding_losses import Embedded

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.scoring import Step
    from torch import Tensor
    from torch.nn import Module

StepLoss = Callable[[Embedded], tuple["Tensor", dict[str, float]]]
_GRADIENT, _SEED, _LOSS, _ROWS, _METRIC = "gradient", "seed", "step_loss", "step_rows", "metric/"
_SEEDS = 1 << 24  # float32 has these exactly


def with_gradients(step: Step, micros: Sequence[Micro], measure: Measure, loss: StepLoss) -> list[Micro]:
    """Return the micro-batches with what `surrogate` needs as columns: the gradient by each vector, the loss and the metrics. Collective.

    Args:
        step: the step.
        micros: of this rank.
        measure: gives the vector of each sequence, (sequences, size); the first sequence of a sample is its query.
        loss: of all vectors of the step.
    """
    if step.train:
        micros = [_filled(micro, {_SEED: float(torch.randint(_SEEDS, ()))}) for micro in micros]
    found = step.score(micros, measure)
    parts = step.gather([part for micro, vectors in zip(micros, found, strict=True) for part in _samples(micro, vectors)])
    order = {row: place for place, row in enumerate(step.rows)}
    samples = sorted((sample for part in parts for sample in part), key=lambda sample: order[sample.row])
    embedded = _embedded(samples, step.strategy.device)
    embedded.queries.requires_grad_(step.train)
    embedded.documents.requires_grad_(step.train)
    with torch.enable_grad():
        value, metrics = loss(embedded)
    if step.train:
        value.backward()  # type: ignore[no-untyped-call]
    gradients = _by_row(samples, embedded)
    facts = {_LOSS: float(value.detach()), _ROWS: float(len(samples)), **{_METRIC + name: each for name, each in metrics.items()}}
    filled = [_filled(micro, facts) for micro in micros]
    added = [{_GRADIENT: _gradient(micro, gradients, vectors)} for micro, vectors in zip(micros, found, strict=True)]
    return [replace(micro, columns={**micro.columns, **columns}) for micro, columns in zip(filled, added, strict=True)]


def seeded_forward(forward: Callable[[Module, Micro], Tensor], model: Module, micro: Micro) -> Tensor:
    """Run a forward pass in training mode with the micro-batch's own random numbers, so that both passes of a step drop out the same.

    Without a seed among its columns, as in evaluation, the pass is run as it is.
    """
    if _SEED not in micro.columns:
        return forward(model, micro)
    device = micro.input_ids.device
    devices = [] if device.type == "cpu" else [device.index or 0]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"), _training(model):
        torch.manual_seed(int(micro.columns[_SEED][0]))
        return forward(model, micro)


def surrogate(vectors: Tensor, micro: Micro) -> Loss:
    """Return a loss with the value of the step's, and its gradient by these vectors, (sequences, size); with the metrics of the step."""
    columns, weights = micro.columns, micro.sample_weights
    rows, total = columns[_ROWS][0], weights.sum()
    linear = (vectors * columns[_GRADIENT] * weights[micro.sample][:, None]).sum() * rows
    metrics = {name.removeprefix(_METRIC): (values[0] * total, total) for name, values in columns.items() if name.startswith(_METRIC)}
    return Loss(linear - linear.detach() + columns[_LOSS][0] * total, metrics)


@dataclass(frozen=True, slots=True)
class _Sample:
    row: int
    vectors: Tensor  # (sequences, size), of the query first
    labels: Tensor  # (sequences,)


def _samples(micro: Micro, vectors: Tensor) -> Iterator[_Sample]:
    for number, row in enumerate(micro.rows):
        own = micro.sample == number
        if float(micro.sample_weights[number]):
            yield _Sample(row, vectors[own], micro.columns["label"][own])


def _embedded(samples: Sequence[_Sample], device: torch.device) -> Embedded:
    counts = torch.tensor([len(sample.labels) - 1 for sample in samples], device=device)
    return Embedded(
        queries=torch.stack([sample.vectors[0] for sample in samples]).to(device),
        documents=torch.cat([sample.vectors[1:] for sample in samples]).to(device),
        owner=torch.repeat_interleave(torch.arange(len(samples), device=device), counts),
        labels=torch.cat([sample.labels[1:] for sample in samples]).to(device),
    )


def _by_row(samples: Sequence[_Sample], embedded: Embedded) -> dict[int, Tensor]:
    """Return the gradients by the vectors of each row, (sequences, size)."""
    queries, documents = embedded.queries.grad, embedded.documents.grad
    if queries is None or documents is None:
        return {}
    rest = torch.split(documents.cpu(), [len(sample.labels) - 1 for sample in samples])
    return {sample.row: torch.cat([query[None], own]) for sample, query, own in zip(samples, queries.cpu(), rest, strict=True)}


def _gradient(micro: Micro, gradients: Mapping[int, Tensor], vectors: Tensor) -> Tensor:
    found = torch.zeros_like(vectors)
    for number, row in enumerate(micro.rows):
        if row in gradients and float(micro.sample_weights[number]):
            found[micro.sample == number] = gradients[row]
    return found


def _filled(micro: Micro, values: Mapping[str, float]) -> Micro:
    """Return the micro-batch with columns that have the same value for every sequence."""
    return replace(micro, columns={**micro.columns, **{name: torch.full((len(micro.sample),), value) for name, value in values.items()}})


@contextmanager
def _training(model: Module) -> Iterator[None]:
    parts = [(part, part.training) for part in inner_model(model).modules()]
    for part, _ in parts:
        part.training = True
    try:
        yield
    finally:
        for part, before in parts:
            part.training = before
