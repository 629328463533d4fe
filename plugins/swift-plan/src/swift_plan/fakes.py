"""A run's model and its micro-batches as fake tensors: shapes and dtypes without memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

from swift_plan.media_inputs import pass_ids
from swift_plan.whole_numbers import WholeNumbers

if TYPE_CHECKING:
    from swift_train.media.micro import MicroMedia

    from swift_plan.workload import Workload

_ATTENTION_MASKS = "transformers.masking_utils"


@contextmanager
def faking(*, masked: bool, whole: bool = False) -> Iterator[FakeTensorMode]:
    """Enter a fake mode. transformers can't read from fake position ids whether a pass has several rows, so it is told.

    Args:
        masked: whether passes have several rows that are kept apart by a mask of tokens × tokens.
        whole: whether whole numbers are real, which passes with media, and attention within rows, need.
    """
    apart = torch.zeros_like if masked else (lambda position_ids: None)
    with ExitStack() as stack:
        stack.enter_context(mock.patch(f"{_ATTENTION_MASKS}.find_packed_sequence_indices", apart))
        mode = stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        if whole:
            stack.enter_context(WholeNumbers())  # type: ignore[no-untyped-call]
        yield mode


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


def micro_batch(work: Workload, media: MicroMedia | None = None, *, shared: bool = False, real: bool = False) -> Micro:
    """Return a micro-batch of the workload's shape: of fake tensors in a fake mode, which must be entered before.

    Args:
        work: the lengths of its sequences.
        media: of its sequences.
        shared: whether the sequences of a sample have what is not supervised in common, and it is computed once.
        real: whether its tensors are real in a fake mode too.
    """
    with unset_fake_temporarily():
        sequences = [_sequence(ids, work.supervised) for ids in pass_ids(work)]
        samples = [sequences[at : at + work.sequences] for at in range(0, len(sequences), work.sequences)]
        micro = micro_of(samples, RowGroup(tuple(range(len(samples))), 1.0), share=shared)
    if real:
        return replace(micro, media=media)
    tensors = {each.name: getattr(micro, each.name) for each in fields(micro)}
    here: dict[str, Any] = {name: torch.zeros_like(value) for name, value in tensors.items() if isinstance(value, Tensor)}
    faked: dict[str, Any] = here if isinstance(here["positions"], FakeTensor) else {}
    return replace(micro, **faked, media=media)


def _sequence(ids: Sequence[int], supervised: float) -> Sample:
    """Return a sequence whose last tokens are supervised."""
    weights = np.zeros(len(ids), np.float32)
    weights[len(ids) - max(1, round((len(ids) - 1) * supervised)) :] = 1
    return Sample(np.array(ids, np.int32), weights, "")


class Columns(dict[str, Tensor]):
    """Numbers beside the tokens of a micro-batch, by any name that a task reads: `count` each."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, name: str) -> Tensor:
        return torch.zeros(self._count)


def of_optimizer(optimizer: Any) -> Iterator[Tensor]:
    """Yield the tensors of an optimizer's state."""
    for values in optimizer.state.values():
        yield from (value for value in values.values() if isinstance(value, Tensor))
