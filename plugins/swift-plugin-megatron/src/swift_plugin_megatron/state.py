"""Training state of a process for an exact resume: its shards of the trainable weights and of the optimizer state.

Of the processes that hold the same shard, the first writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.ranks import load_rng_states, save_rng_states
from swift_train.training_state import SAME_MODEL, load_optimizer, save_tensors

from swift_core.contract import SwiftError, UsageError
from swift_plugin_megatron import groups

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.strategy import MegatronStrategy

_METADATA = "megatron.pt"


def save(folder: Path, strategy: MegatronStrategy) -> None:
    """Write this process's random states, and its shards if it is the first process that holds them."""
    save_rng_states(folder, strategy.device)
    if strategy.writer:
        save_tensors(folder / _METADATA, {"sizes": _sizes(strategy), "settings": strategy.settings})
    if strategy.saves_shard:
        weights = strategy.master_weights.by_name
        save_tensors(folder / f"{_shard_name()}.pt", {name: weight.detach() for name, weight in weights.items()})
    if strategy.saves_shard or strategy.distributed_optimizer:
        save_tensors(folder / _optimizer_file(strategy), strategy.optimizer.state_dict())


def is_first_copy() -> bool:
    """Return whether this process is the first of those that hold the same shard. Collective."""
    names: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(names, _shard_name())
    return names.index(_shard_name()) == dist.get_rank()


def load(folder: Path, strategy: MegatronStrategy) -> None:
    """Read what `save` wrote with the same parallel sizes.

    Raises:
        SwiftError: it was written with other sizes, or by another strategy.
        UsageError: the trainable weights have other names or shapes.
    """
    if not (folder / _METADATA).is_file():
        raise SwiftError(
            "this checkpoint was not written by megatron",
            code="PARALLEL-036",
            where=str(folder),
            hint="Resume with the strategy that wrote it.",
        )
    metadata = torch.load(folder / _METADATA, weights_only=True)
    if metadata["sizes"] != _sizes(strategy):
        saved_sizes, sizes = (", ".join(f"{name} {size}" for name, size in each.items()) for each in (metadata["sizes"], _sizes(strategy)))
        raise SwiftError(
            f"this checkpoint was written with {saved_sizes} and can't be resharded; this run has {sizes}",
            code="PARALLEL-037",
            where=str(folder),
            hint="Resume with the same sizes, or start a new run from the checkpoint's model/.",
        )
    saved: dict[str, Tensor] = torch.load(folder / f"{_shard_name()}.pt", map_location=strategy.device, weights_only=True)
    weights = strategy.master_weights.by_name
    shapes = [{name: tuple(weight.shape) for name, weight in each.items()} for each in (saved, weights)]
    if shapes[0] != shapes[1]:
        name = min(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
        raise UsageError(
            f"the weight {name} of the checkpoint does not match the run's", code="PARALLEL-038", where="resume", hint=SAME_MODEL
        )
    with torch.no_grad():
        for name, weight in saved.items():
            weights[name].copy_(weight)
    strategy.master_weights.update_copies()
    optimizer = torch.load(folder / _optimizer_file(strategy), map_location=strategy.device, weights_only=True)
    load_optimizer(strategy.optimizer, optimizer, metadata["settings"], strategy.settings)
    load_rng_states(folder, strategy.device)


def _sizes(strategy: MegatronStrategy) -> dict[str, int]:
    sizes = strategy.sizes
    return {
        "tensor": sizes.tensor,
        "context": sizes.context,
        "pipeline": sizes.pipeline,
        "chunks": sizes.chunks,
        "expert": sizes.expert,
        "replicas": sizes.replicas,
        "optimizer shards": sizes.replicas if strategy.distributed_optimizer else 1,
        **({"first stage": sizes.first_layers} if sizes.first_layers else {}),
        **({"last stage": sizes.last_layers} if sizes.last_layers else {}),
    }


def _shard_name() -> str:
    ranks = (dist.get_rank(group()) for group in (groups.tensor, groups.pipeline, groups.experts))
    return "tensor-{}-pipeline-{}-expert-{}".format(*ranks)


def _optimizer_file(strategy: MegatronStrategy) -> str:
    replica = dist.get_rank(groups.replicas()) if strategy.distributed_optimizer else 0
    return f"optimizer-{_shard_name()}-replica-{replica}.pt"
