"""Gradients of the first training rows, for tuners that start from them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from swift_core.contract import UsageError
from swift_train.batches import collate
from swift_train.losses import summed_cross_entropy
from swift_train.roles import GradientTuner
from swift_train.row_groups import RowGroup
from swift_train.samples import Samples
from swift_train.tasks import NextToken, TokenTask

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_train.stream import Stream
    from swift_train.tasks import LossTask


def start_from_gradients(tuner: Any, task: LossTask, rows: Samples | Stream) -> None:
    """Give a tuner that needs them the gradients of the first rows.

    Raises:
        UsageError: the task does not train on supervised tokens, or the rows have media.
    """
    if not isinstance(tuner, GradientTuner) or not tuner.gradient_rows:
        return
    samples = rows if isinstance(rows, Samples) else rows.head()
    count = min(tuner.gradient_rows, len(samples))
    of_tokens: object = task
    if not isinstance(of_tokens, TokenTask) or samples.media_counts[:count].any():
        message = "start values from gradients need rows of text, and a loss of their tokens"
        raise UsageError(
            message, code="TRAIN-277", where="tuner.init", hint="Use it with swift sft or pretrain, or choose another initialisation."
        )
    tuner.use_gradients(partial(add_gradients, samples=samples, count=count))


def add_gradients(module: Module, *, samples: Samples, count: int) -> None:
    """Accumulate the gradients of the mean cross entropy of the first `count` rows, one row after another."""
    device = next(module.parameters()).device
    for row in range(count):
        micro = collate(samples, RowGroup((row,), 1.0)).to(device)
        loss = summed_cross_entropy(NextToken().forward(module, micro), micro.labels, micro.weights)
        torch.autograd.backward(loss / micro.weights.sum().clamp_min(1.0))
