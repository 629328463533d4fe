"""Compute the per-token losses of one row in a forward pass, through a strategy and a task, without changing any state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedModel

from swift_core.contract import SwiftError
from swift_train.batches import Micro, RowBoundaries
from swift_train.ranks import compute_dtype, rng_states, set_rng_states

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module

    from swift_train.strategy import Passes
    from swift_train.tasks import ForwardLoss

_MAX_BUFFER = 1 << 16  # maximum elements of a buffer that is restored; larger buffers are quantized weights


class ProbeFailed(Exception):
    """The losses can't be computed; the message says why."""


class RowProbe:
    """Compute per-token losses through `strategy.accumulate` without training; random states and buffers are restored on exit.

    The model is in training mode with dropout off, since some layers use other code in training; if it still draws random numbers, in
    evaluation mode.

    Args:
        strategy, task: they compute the losses; the strategy is built.
        labels: token ids whose losses are also computed at each position, beside that of the next token.
    """

    def __init__(self, strategy: Passes, task: ForwardLoss, labels: Sequence[int]) -> None:
        self._strategy, self._recorder = strategy, _RecordingTask(task, labels)
        self.others = not strategy.fixed_shapes  # other arguments can't be tried in a pipeline: a stage that fails would block the others

    @property
    def precision(self) -> float:
        """The largest machine epsilon of the dtypes used in the pass; the same on all processes."""
        return self._strategy.reduce(self._recorder.precision, "max")

    @property
    def model(self) -> PreTrainedModel | None:
        """The model inside the strategy's engine, once it has run a pass; None if it is none of transformers."""
        return self._recorder.model

    def __enter__(self) -> RowProbe:
        self._random = rng_states(self._strategy.device)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._recorder.restore()
        set_rng_states(self._random, self._strategy.device)

    def run(
        self,
        rows: Sequence[list[int]],
        length: int = 0,
        *,
        boundaries: RowBoundaries = RowBoundaries.POSITION_IDS,
        scored: int = 0,
        far: int = 0,
        last: int = 0,
    ) -> NDArray[Any]:
        """Compute the losses of one row in a forward pass of several rows. Collective.

        Args:
            rows: token ids of each row.
            length: number of the scored row's first tokens that are scored; 0 for all.
            boundaries: how row starts are passed to the model.
            scored: index of the scored row.
            far: last position id of the first row, whose second half is moved there, if that exceeds its length.
            last: number of the scored row's last tokens that are scored alone; 0 for all.

        Returns:
            Losses in nats, (positions, 1 + labels), the same on all processes.

        Raises:
            ProbeFailed: a loss is not finite, or the model raises an error.
        """
        ends = list(accumulate(map(len, rows)))
        begin, count = ends[scored] - len(rows[scored]), (length or len(rows[scored])) - 1
        if 0 < last < count:
            begin, count = begin + count - last, last
        ids = torch.tensor([token for row in rows for token in row])
        positions = [torch.arange(len(row)) for row in rows]
        if far > len(rows[0]):
            half = len(rows[0]) // 2
            positions[0][half:] += far - len(rows[0])
        micro = Micro(
            input_ids=ids[None],
            position_ids=torch.cat(positions)[None],
            positions=torch.arange(begin, begin + count),
            labels=ids[begin + 1 : begin + 1 + count],
            weights=torch.arange(1.0, count + 1),  # identify each position, wherever it is computed
            sequence=torch.full((count,), scored),
            sample=torch.arange(len(rows)),
            sample_weights=torch.ones(len(rows)),
            rows=tuple(range(len(rows))),
            boundaries=boundaries,
        )
        if self._recorder.trains is None:
            self._recorder.trains = True
            self._losses(micro)
            after = rng_states(self._strategy.device)
            drawn = any(not state.equal(after[kind]) for kind, state in self._random.items())
            self._recorder.trains = not self._strategy.reduce(float(drawn), "max")
        found = self._losses(micro)
        if not np.isfinite(found).all():
            raise ProbeFailed("the loss is not finite")
        return found

    def losses(self, micro: Micro) -> NDArray[Any]:
        """Compute the losses at the supervised positions of a micro-batch. Collective; returns and raises as `run` does."""
        found = self._losses(replace(micro, weights=torch.arange(1.0, len(micro.positions) + 1)))
        if not np.isfinite(found).all():
            raise ProbeFailed("the loss is not finite")
        return found

    def _losses(self, micro: Micro) -> NDArray[Any]:
        """Return the losses, (positions, 1 + labels), the same on all processes."""
        self._recorder.start(micro)
        failure = ""
        try:
            self._strategy.accumulate([micro], self._recorder, 1.0, train=False)
        except SwiftError:
            raise
        except Exception as error:  # a model's own code may raise anything for arguments that it does not know
            failure = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if self._strategy.reduce(float(bool(failure)), "max"):
            raise ProbeFailed(failure or "another process failed")
        every = [self._strategy.reduce(loss, "max") for loss in self._recorder.found.ravel().tolist()]
        return np.array(every).reshape(self._recorder.found.shape)


class _RecordingTask:
    """A task that records the losses of each position."""

    def __init__(self, task: ForwardLoss, labels: Sequence[int]) -> None:
        self._task, self._others = task, labels
        self.trains: bool | None = None
        self.found: NDArray[Any] = np.zeros(0)
        self.precision = 0.0
        self.model: PreTrainedModel | None = None
        self._kept: list[tuple[Module, str, Tensor, Tensor]] | None = None

    def start(self, micro: Micro) -> None:
        """Begin recording a new pass."""
        self.found = np.full((len(micro.positions), 1 + len(self._others)), -np.inf)  # positions computed by other processes
        self._labels = [micro.labels, *(torch.full_like(micro.labels, label) for label in self._others)]

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Run the task's forward pass, in training mode without dropout."""
        if self._kept is None:
            self.model = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
            self.precision = torch.finfo(compute_dtype(model)).eps
            buffers = [(part, name, value) for part in model.modules() for name, value in part._buffers.items() if value is not None]
            self._kept = [
                (part, name, value, value.clone()) for part, name, value in buffers if value.numel() <= _MAX_BUFFER and not value.is_meta
            ]
        if not self.trains:
            return self._task.forward(model, micro)
        with _training(model):
            return self._task.forward(model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Record the loss of each position and label, and return a scalar to the strategy."""
        if output.is_floating_point():
            self.precision = max(self.precision, torch.finfo(output.dtype).eps)
        places = [round(mark) - 1 for mark in micro.weights.tolist()]
        if places and places[0] >= 0:  # else a filler, or a shard in which nothing is scored
            for number, labels in enumerate(self._labels):
                losses = _losses(output, labels[places].to(output.device)).cpu().numpy()
                self.found[places, number] = np.where(np.isfinite(losses), losses, np.inf)
        return output.sum() * 0.0

    def restore(self) -> None:
        """Restore the model's buffers."""
        for part, name, value, before in self._kept or ():
            value.copy_(before)
            part._buffers[name] = value


def _losses(output: Tensor, labels: Tensor) -> Tensor:
    """Return a number per scored position that depends on the label: its cross entropy, or an output of a head without a vocabulary."""
    values = output.detach().float()
    if values.shape[-1] > int(labels.max()):
        return torch.nn.functional.cross_entropy(values, labels, reduction="none")
    return values.gather(1, labels[:, None] % values.shape[-1]).squeeze(1)


@contextmanager
def _training(engine: Module) -> Iterator[None]:
    """Put the model inside the strategy's engine into training mode, except its dropout layers."""
    model = next((part for part in engine.modules() if isinstance(part, PreTrainedModel)), engine)
    was = [(part, part.training) for part in model.modules()]
    for part, _ in was:
        part.training = not isinstance(part, _DropoutNd)
    try:
        yield
    finally:
        for part, mode in was:
            part.training = mode


def root_mean_square(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the root mean square of the differences over all positions and labels."""
    return float(np.sqrt(np.square(one - other).mean()))


def median(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the median over positions of the root mean square difference over labels."""
    return float(np.median(np.sqrt(np.square(one - other).mean(1))))
