"""One short row of a pass looked at closely: the losses at each of its tokens, through a strategy and a task, with nothing left changed."""

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

from swift_core.contract.errors import SwiftError
from swift_train.batches import Micro, RowBoundaries
from swift_train.ranks import compute_dtype, rng_states, set_rng_states

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module

    from swift_train.strategy import Strategy
    from swift_train.tasks import LossTask

_STATISTIC = 1 << 16  # numbers that a buffer with statistics has at most; larger ones are quantized weights


class ProbeFailed(Exception):
    """Nothing can be told; the message says why."""


class RowProbe:
    """Computes losses in a row by `strategy.accumulate` without training, and leaves random numbers and buffers as they were.

    The model is in training mode, since some layers compute by other code there, but its dropout is off; where it draws random numbers
    all the same, in evaluation mode.

    Args:
        strategy, task: what computes, built.
        labels: tokens whose losses are looked at in each place, beside that of the token that follows.
    """

    def __init__(self, strategy: Strategy, task: LossTask, labels: Sequence[int]) -> None:
        self._strategy, self._spy = strategy, _Spy(task, labels)
        self.others = not strategy.fixed_shapes  # whether other arguments can be tried: a stage that refuses them leaves the others waiting

    @property
    def precision(self) -> float:
        """The coarsest of the types that are computed with; the same in all processes."""
        return self._strategy.reduce(self._spy.precision, "max")

    def __enter__(self) -> RowProbe:
        self._random = rng_states(self._strategy.device)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._spy.restore()
        set_rng_states(self._random, self._strategy.device)

    def run(
        self,
        rows: Sequence[list[int]],
        length: int = 0,
        *,
        boundaries: RowBoundaries = RowBoundaries.POSITION_IDS,
        scored: int = 0,
        far: int = 0,
    ) -> NDArray[Any]:
        """Losses at the tokens of a row among others, all in one pass.

        Args:
            rows: their tokens.
            length: of the scored row's beginning, which alone is looked at; 0 for all of it.
            boundaries: how row starts are passed to the model.
            scored: which row.
            far: where the positions of the first row end, whose second half is moved there.

        Raises:
            ProbeFailed: a loss is not finite, or the model refuses.
        """
        ends = list(accumulate(map(len, rows)))
        begin, count = ends[scored] - len(rows[scored]), (length or len(rows[scored])) - 1
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
            weights=torch.arange(1.0, count + 1),  # a mark: which place it is, wherever it is computed
            rows=tuple(range(len(rows))),
            boundaries=boundaries,
        )
        if self._spy.trains is None:
            self._spy.trains = True
            self._losses(micro)
            after = rng_states(self._strategy.device)
            drawn = any(not state.equal(after[kind]) for kind, state in self._random.items())
            self._spy.trains = not self._strategy.reduce(float(drawn), "max")
        found = self._losses(micro)
        if not np.isfinite(found).all():
            raise ProbeFailed("the loss is not finite")
        return found

    def _losses(self, micro: Micro) -> NDArray[Any]:
        """(places, labels), the same in all processes."""
        self._spy.look(micro)
        failure = ""
        try:
            self._strategy.accumulate([micro], self._spy, 1.0, train=False)  # type: ignore[arg-type]
        except SwiftError:
            raise
        except Exception as error:  # whatever a model's own code does with arguments that it does not know
            failure = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if self._strategy.reduce(float(bool(failure)), "max"):
            raise ProbeFailed(failure or "another process failed")
        every = [self._strategy.reduce(loss, "max") for loss in self._spy.found.ravel().tolist()]
        return np.array(every).reshape(self._spy.found.shape)


class _Spy:
    """A task that looks at each place's losses by themselves."""

    def __init__(self, task: LossTask, labels: Sequence[int]) -> None:
        self._task, self._others = task, labels
        self.trains: bool | None = None
        self.found: NDArray[Any] = np.zeros(0)
        self.precision = 0.0
        self._kept: list[tuple[Module, str, Tensor, Tensor]] | None = None

    def look(self, micro: Micro) -> None:
        """Begin with a new pass."""
        self.found = np.full((len(micro.positions), 1 + len(self._others)), -np.inf)  # of what other processes compute
        self._labels = [micro.labels, *(torch.full_like(micro.labels, label) for label in self._others)]

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """The task's, in training mode."""
        if self._kept is None:
            self.precision = torch.finfo(compute_dtype(model)).eps
            buffers = [(part, name, value) for part in model.modules() for name, value in part._buffers.items() if value is not None]
            self._kept = [
                (part, name, value, value.clone()) for part, name, value in buffers if value.numel() <= _STATISTIC and not value.is_meta
            ]
        if not self.trains:
            return self._task.forward(model, micro)
        with _training(model):
            return self._task.forward(model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """The task's; with other labels and one place at a time beside it."""
        if output.is_floating_point():
            self.precision = max(self.precision, torch.finfo(output.dtype).eps)
        places = [round(mark) - 1 for mark in micro.weights.tolist()]
        for at, place in enumerate(places):
            if place < 0:  # of a micro-batch that only fills up a schedule
                continue
            here = torch.zeros_like(micro.weights)
            here[at] = 1.0
            for number, labels in enumerate(self._labels):
                own = labels[places].to(micro.labels.device)
                loss = float(self._task.loss(output, replace(micro, labels=own, weights=here)))
                self.found[place, number] = loss if np.isfinite(loss) else np.inf
        return self._task.loss(output, micro)

    def restore(self) -> None:
        """Put the buffers back."""
        for part, name, value, before in self._kept or ():
            value.copy_(before)
            part._buffers[name] = value


@contextmanager
def _training(engine: Module) -> Iterator[None]:
    """Training mode of the model, but for its dropout, in whatever the strategy has wrapped around it."""
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
    """Of the differences over all places."""
    return float(np.sqrt(np.square(one - other).mean()))


def median(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Over the places, of the root mean squares of the differences at each."""
    return float(np.median(np.sqrt(np.square(one - other).mean(1))))
