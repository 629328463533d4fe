"""Cutting a model with `fully_shard`: block by block, so that one block's weights at a time are whole in a process.

Each parameter becomes a DTensor, cut along its first dimension. A block's are gathered when it is called and let go of afterwards;
the root's are all that is in no block (embeddings, head, last norm). Method: Zhao et al. 2023, https://arxiv.org/abs/2304.11277
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from swift_core.contract.errors import UsageError, suggestion

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.nn import Module, Parameter

    from swift_train.batches import Micro
    from swift_train.tasks import LossTask


def shard(
    module: Module, mesh: DeviceMesh, dtype: torch.dtype, *, wrap: Collection[str] = (), reshard_after_forward: bool = True,
    reduce_dtype: torch.dtype = torch.float32, offload: bool = False, fill: Callable[[list[Parameter]], None] = lambda parameters: None,
    units: Sequence[Module] | None = None,
) -> None:  # fmt: skip
    """Cut a model in place, and make its gradients sums over the processes.

    Args:
        mesh: over which it is cut; of two dimensions, over the second.
        dtype: type that the passes are computed in.
        wrap: classes of the modules that are gathered one at a time; by default the model's blocks.
        reshard_after_forward: let go of a block between its passes.
        reduce_dtype: type in which gradients are added up.
        offload: keep all state in main memory.
        fill: gives the parameters of a block their values, just before it is cut, so that one block at a time is whole in a process.
        units: the blocks that this process has, where it has not all and they have their values; what is on `meta` is left alone.

    Raises:
        UsageError: its blocks are unknown, or it has weights that can't be cut.
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
        part.set_force_sum_reduction_for_comms(True)  # gloo multiplies nothing on the way
        part.set_reduce_scatter_unused_params(True, recurse=False)  # of ranks with other experts or without images


def _unsharded(module: Module) -> list[Parameter]:
    return [parameter for parameter in module.parameters() if not isinstance(parameter, DTensor)]


def run_micro_batches(
    module: Module, micros: Sequence[Micro], task: LossTask, device: torch.device, *, factor: float, train: bool
) -> float:
    """Forward and, to train, backward passes of a cut model, one micro-batch after another.

    Args:
        factor: what a loss is multiplied by before its backward pass.

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
    if not train:  # what a backward pass would have let go of
        for part in fsdp_modules(module):
            part.reshard()
    return sum(loss.item() for loss in losses)


def fsdp_modules(module: Module) -> Iterator[FSDPModule]:
    """The root and the blocks that are cut."""
    return (part for part in module.modules() if isinstance(part, FSDPModule))


def blocks(module: Module, wrap: Collection[str]) -> list[Module]:
    """The modules that are gathered one at a time: those of the classes named, else what the architecture says is not to be split.

    Raises:
        UsageError: there are none.
    """
    known = {type(part).__name__ for part in module.modules()}
    for name in wrap:
        if name not in known:
            raise UsageError(
                f"the model has no module of class '{name}'",
                where="parallel.wrap",
                hint=suggestion(name, known) or f"Classes: {', '.join(sorted(known))}.",
            )
    names = set(wrap) or {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    found = [part for part in module.modules() if type(part).__name__ in names and part is not module]
    if not found:
        raise UsageError(
            "which of the model's modules are its blocks is unknown, and all of it at once would have to be whole in a process",
            where="parallel.wrap",
            hint=f"Name the class of its blocks; classes: {', '.join(sorted(known))}.",
        )
    return found


def check_shardable(module: Module, units: Collection[Module]) -> None:
    """Refuse weights that `fully_shard` can't cut, or would cut into something else.

    Raises:
        UsageError: they are quantized, have no dimension, or belong to several blocks.
    """
    for name, parameter in module.named_parameters():
        if not parameter.is_floating_point() or not parameter.ndim:
            what = "has no dimension to cut" if parameter.is_floating_point() else f"is {parameter.dtype}: quantized weights can't be cut"
            raise UsageError(f"the weight {name} {what}", where="parallel", hint="Use --parallel ddp.")
    owners: dict[int, Module] = {}
    for unit in units:
        for name, parameter in unit.named_parameters():
            owner = owners.setdefault(id(parameter), unit)
            if owner is not unit and unit not in set(owner.modules()):
                raise UsageError(f"the weight {name} is shared by several blocks", where="parallel", hint="Use --parallel ddp.")
