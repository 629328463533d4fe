"""A run's model and its micro-batches as fake tensors: shapes and dtypes without memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from swift_train.batches import Micro
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
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


def micro_batch(work: Workload, *, sequences: int = 1, columns: tuple[str, ...] = ()) -> Micro:
    """Return a micro-batch of the workload's shape; to be called in a fake mode.

    Args:
        work: the lengths of its rows.
        sequences: of each sample (a chosen and a rejected answer: 2).
        columns: names of the numbers beside the tokens that the task needs.
    """
    lengths = [length for length in work.lengths for _ in range(sequences)]
    scored = [max(1, round((length - 1) * work.supervised)) for length in lengths]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    total, supervised = sum(lengths), sum(scored)
    positions = [torch.arange(start, start + count) for start, count in zip(starts, scored, strict=True)]
    return Micro(
        input_ids=torch.zeros(1, total, dtype=torch.int64),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        positions=torch.cat(positions),
        labels=torch.zeros(supervised, dtype=torch.int64),
        weights=torch.ones(supervised),
        rows=tuple(range(len(work.lengths))),
        sequence=torch.zeros(supervised, dtype=torch.int64),
        sample=torch.arange(len(lengths)) // sequences,
        sample_weights=torch.ones(len(work.lengths)),
        columns={name: torch.zeros(len(lengths)) for name in columns},
    )


def of_optimizer(optimizer: Any) -> Iterator[Tensor]:
    """Yield the tensors of an optimizer's state."""
    for values in optimizer.state.values():
        yield from (value for value in values.values() if isinstance(value, Tensor))
