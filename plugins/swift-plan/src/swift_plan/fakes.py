"""A run's model and its micro-batches as fake tensors: shapes and dtypes without memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from swift_train.batches import Micro, micro_of
from swift_train.row_groups import RowGroup
from swift_train.samples import Sample
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.nn import Module, Parameter

if TYPE_CHECKING:
    from swift_plan.workload import Workload

_ATTENTION_MASKS = "transformers.masking_utils"


@contextmanager
def faking(*, masked: bool) -> Iterator[FakeTensorMode]:
    """Enter a fake mode. transformers can't read from fake position ids whether a pass has several rows, so it is told.

    Args:
        masked: whether passes have several rows that are kept apart by a mask of tokens × tokens.
    """
    apart = torch.zeros_like if masked else (lambda position_ids: None)
    with ExitStack() as stack:
        stack.enter_context(mock.patch(f"{_ATTENTION_MASKS}.find_packed_sequence_indices", apart))
        yield stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))


def make_fake(module: Module, dtype: torch.dtype | None = None) -> Module:
    """Replace the tensors of a module on `meta` by fake ones of the CPU, shared ones by one; to be called in a fake mode.

    Args:
        module: the module, changed in place.
        dtype: of the trainable weights; None leaves them as they are.
    """
    made: dict[int, Tensor] = {}
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, tensor in list(store.items()):
                if tensor is not None and id(tensor) not in made:
                    kind = dtype if dtype is not None and tensor.requires_grad else tensor.dtype
                    fake = torch.empty_like(tensor, device="cpu", dtype=kind)
                    made[id(tensor)] = Parameter(fake, tensor.requires_grad) if isinstance(tensor, Parameter) else fake
                if tensor is not None:
                    store[name] = made[id(tensor)]  # type: ignore[assignment]
        for name, value in list(vars(part).items()):
            if isinstance(value, Tensor) and value.is_meta:
                setattr(part, name, torch.empty_like(value, device="cpu"))
    return module


def micro_batch(work: Workload, *, sequences: int = 1, columns: tuple[str, ...] = (), shared: bool = False) -> Micro:
    """Return a micro-batch of the workload's shape: of fake tensors in a fake mode, which must be entered before.

    Args:
        work: the lengths of its rows.
        sequences: of each sample (a chosen and a rejected answer: 2).
        columns: names of the numbers beside the tokens that the task needs.
        shared: whether the sequences of a sample have what is not supervised in common, and it is computed once.
    """
    with unset_fake_temporarily():
        samples = [[_sequence(length, work.supervised)] * sequences for length in work.lengths]
        micro = micro_of(samples, RowGroup(tuple(range(len(samples))), 1.0), share=shared)
    tensors = {each.name: getattr(micro, each.name) for each in fields(micro)}
    here: dict[str, Any] = {name: torch.zeros_like(value) for name, value in tensors.items() if isinstance(value, Tensor)}
    faked: dict[str, Any] = here if isinstance(here["positions"], FakeTensor) else {}
    return replace(micro, **faked, columns={name: torch.zeros(len(micro.sample)) for name in columns})


def _sequence(length: int, supervised: float) -> Sample:
    """Return a sequence whose last tokens are supervised."""
    weights = np.zeros(length, np.float32)
    weights[length - max(1, round((length - 1) * supervised)) :] = 1
    return Sample(np.zeros(length, np.int32), weights, "")


def of_optimizer(optimizer: Any) -> Iterator[Tensor]:
    """Yield the tensors of an optimizer's state."""
    for values in optimizer.state.values():
        yield from (value for value in values.values() if isinstance(value, Tensor))
