"""Shard a model with FSDP2's `fully_shard`, block by block, so that only one block's weights at a time are whole in a process.

Each parameter becomes a DTensor sharded along its first dimension. A block's parameters are gathered when it is called and resharded
afterwards; the root group holds what is in no block (embeddings, head, final norm). Method: Zhao et al. 2023, https://arxiv.org/abs/2304.11277
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from swift_core.contract import UsageError, suggestion

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.nn import Module, Parameter

    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss


def shard(
    module: Module, mesh: DeviceMesh, dtype: torch.dtype, *, wrap: Collection[str] = (), reshard_after_forward: bool = True,
    reduce_dtype: torch.dtype = torch.float32, offload: bool = False, fill: Callable[[list[Parameter]], None] = lambda parameters: None,
    units: Sequence[Module] | None = None,
) -> None:  # fmt: skip
    """Shard a model in place; gradients become sums over the processes (not means).

    Args:
        module: the model.
        mesh: device mesh to shard over; of two dimensions, the model is sharded over the second and replicated over the first.
        dtype: dtype of the forward and backward passes.
        wrap: class names of the modules to gather one at a time; by default the model's blocks.
        reshard_after_forward: reshard a block between its forward and backward pass.
        reduce_dtype: dtype of the gradient reduction.
        offload: keep parameters, gradients and optimizer state in main memory.
        fill: sets the values of a block's parameters just before it is sharded, so that one block at a time is whole in a process.
        units: the blocks of this process, if it holds only some and their values are set; parameters on `meta` are ignored.

    Raises:
        UsageError: the model's blocks are unknown, or it has weights that can't be sharded.
    """
    elsewhere = {parameter for parameter in module.parameters() if parameter.is_meta} if units is not None else set()
    units = blocks(module, wrap) if units is None else units
    check_shardable(module, units)
    narrow = dtype != torch.float32
    policy: dict[str, Any] = {
        "mesh": mesh,
        "mp_policy": MixedPrecisionPolicy(param_dtype=dtype if narrow else None, reduce_dtype=reduce_dtype),
        "offload_policy": CPUOffloadPolicy() if offload else OffloadPolicy(),
    }
    for unit in reversed(units):  # inner ones first
        fill(_unsharded(unit))
        fully_shard(unit, reshard_after_forward=reshard_after_forward, **policy)
    fill(_unsharded(module))
    fully_shard(module, ignored_params=elsewhere, **policy)
    for part in fsdp_modules(module):
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)  # gloo has no premultiplied sum
        part.set_reduce_scatter_unused_params(True, recurse=False)  # ranks may use other experts, or have no images


def _unsharded(module: Module) -> list[Parameter]:
    return [parameter for parameter in module.parameters() if not isinstance(parameter, DTensor)]


def run_micro_batches(
    module: Module, micros: Sequence[Micro], task: ForwardLoss, device: torch.device, *, factor: float, train: bool
) -> float:
    """Run the forward and, if `train`, backward passes of a sharded model, one micro-batch after another.

    Args:
        factor: multiplies each loss before its backward pass.

    Returns:
        The sum of this process's losses.
    """
    module.train(train)
    losses = []
    for micro in micros:
        moved = micro.to(device)
        with torch.set_grad_enabled(train):
            loss = task.loss(task.forward(module, moved), moved)
        if train:
            torch.autograd.backward(loss * factor)
        losses.append(loss.detach())
    if not train:  # the backward pass would have resharded
        for part in fsdp_modules(module):
            part.reshard()
    return sum(loss.item() for loss in losses)


def fsdp_modules(module: Module) -> Iterator[FSDPModule]:
    """Yield the sharded modules: the root and its blocks."""
    return (part for part in module.modules() if isinstance(part, FSDPModule))


def blocks(module: Module, wrap: Collection[str]) -> list[Module]:
    """Return the modules to gather one at a time: those of the classes in `wrap`, by default of the model's `_no_split_modules`.

    Raises:
        UsageError: there is no such module.
    """
    known = {type(part).__name__ for part in module.modules()}
    for name in wrap:
        if name not in known:
            raise UsageError(
                f"the model has no module of class '{name}'",
                code="TRAIN-066",
                where="parallel.wrap",
                hint=suggestion(name, known) or f"Classes: {', '.join(sorted(known))}.",
            )
    names = set(wrap) or {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    found = [part for part in module.modules() if type(part).__name__ in names and part is not module]
    if not found:
        raise UsageError(
            "the model does not declare its blocks (_no_split_modules), so the whole model would have to be gathered at once",
            code="TRAIN-067",
            where="parallel.wrap",
            hint=f"Set it to the class of its blocks; classes: {', '.join(sorted(known))}.",
        )
    return found


def check_shardable(module: Module, units: Collection[Module]) -> None:
    """Check that `fully_shard` can shard the weights.

    Raises:
        UsageError: a weight is quantized, is a scalar, or is shared by several blocks.
    """
    for name, parameter in module.named_parameters():
        if not parameter.is_floating_point() or not parameter.ndim:
            what = "is a scalar, which can't be sharded"
            if not parameter.is_floating_point():
                what = f"is {parameter.dtype}: quantized weights can't be sharded"
            raise UsageError(f"the weight {name} {what}", code="TRAIN-068", where="parallel", hint="Use --parallel ddp.")
    owners: dict[int, Module] = {}
    for unit in units:
        for name, parameter in unit.named_parameters():
            owner = owners.setdefault(id(parameter), unit)
            if owner is not unit and unit not in set(owner.modules()):
                raise UsageError(
                    f"the weight {name} is shared by several blocks", code="TRAIN-069", where="parallel", hint="Use --parallel ddp."
                )
