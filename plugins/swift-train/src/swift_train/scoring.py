"""Forward passes without gradients whose outputs are kept, under any strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch.distributed as dist

from swift_train.tasks import Measure

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_train.batches import Micro
    from swift_train.micro_batches import MicroBatches
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.tasks import ForwardLoss


@dataclass(frozen=True, slots=True)
class Step:
    """The rows of a step, and collective operations on them for `LossTask.prepare`.

    Attributes:
        strategy: the parallel strategy.
        task: the forward pass and the loss.
        samples, rows: the samples, and the indices of the step's rows over all ranks, in order; the same on every rank.
        train: whether gradients will follow.
        batches: makes micro-batches of other rows.
    """

    strategy: Strategy
    task: ForwardLoss
    samples: Samples
    rows: Sequence[int]
    train: bool
    batches: MicroBatches

    def score(self, micros: Sequence[Micro], measure: Measure, forward: Callable[[Module, Micro], Tensor] | None = None) -> list[Tensor]:
        """Run forward passes without gradients, in evaluation mode. Collective.

        Args:
            micros: micro-batches of this rank; every rank has the same number.
            measure: of the output and the micro-batch.
            forward: replaces the task's forward pass.

        Returns:
            What `measure` returned for each micro-batch, on the CPU; nothing on a process that does not hold the model's last layers.
        """
        recorder = _Recorder(forward or self.task.forward, measure)
        self.strategy.accumulate(micros, recorder, 1.0, train=False)
        return recorder.found[: len(micros)]

    def gather(self, value: Any) -> list[Any]:
        """Return the value of each data rank that has one (not None), in the order of the ranks. Collective."""
        return gather(self.strategy, value)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over all processes. Collective."""
        return self.strategy.reduce(x, op)


def with_column(micros: Sequence[Micro], name: str, values: Sequence[Tensor]) -> Sequence[Micro]:
    """Return micro-batches with a column of what `Step.score` returned; unchanged where it returned nothing."""
    if not values:
        return micros
    return [replace(micro, columns={**micro.columns, name: column}) for micro, column in zip(micros, values, strict=True)]


class _Recorder:
    def __init__(self, forward: Callable[[Module, Micro], Tensor], measure: Measure) -> None:
        self._forward, self._measure = forward, measure
        self.found: list[Tensor] = []

    def forward(self, model: Module, micro: Micro) -> Tensor:
        return self._forward(model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        self.found.append(self._measure(output, micro).detach().float().cpu())
        return output.sum() * 0.0


def gather(strategy: Strategy, value: Any) -> list[Any]:
    """Return the value of each data rank that has one (not None), in the order of the ranks; any object that pickles. Collective."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [] if value is None else [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, None if value is None else (strategy.data_rank, value))
    return [each for _, each in sorted(dict(filter(None, found)).items(), key=lambda item: item[0])]
