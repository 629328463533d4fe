"""What a process must keep to go on exactly: its parts of the weights that learn, and of the optimizer's state.

Of the processes that hold the same part, the first writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.ranks import load_rng_states, save_rng_states
from swift_train.training_state import SAME_MODEL, load_optimizer, save_tensors

from swift_core.contract.errors import SwiftError, UsageError
from swift_plugin_megatron import groups

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.strategy import MegatronStrategy

_FACTS = "megatron.pt"


def save(folder: Path, strategy: MegatronStrategy) -> None:
    """Write this process's part, where it is the first to hold it."""
    save_rng_states(folder, strategy.device)
    if strategy.writer:
        save_tensors(folder / _FACTS, {"sizes": _sizes(strategy), "settings": strategy.settings})
    if strategy.first:
        save_tensors(folder / f"{_part()}.pt", {name: weight.detach() for name, weight in strategy.masters.of.items()})
    if strategy.first or strategy.dealt:
        save_tensors(folder / _optimizer(strategy), strategy.optimizer.state_dict())


def first() -> bool:
    """Whether this process is the first of those that hold the same part. Collective."""
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, _part())
    return parts.index(_part()) == dist.get_rank()


def load(folder: Path, strategy: MegatronStrategy) -> None:
    """The inverse, on processes that are cut alike.

    Raises:
        SwiftError: it was written by others, or by another strategy.
        UsageError: the weights are others.
    """
    if not (folder / _FACTS).is_file():
        raise SwiftError("this checkpoint is not megatron's", where=str(folder), hint="Resume with the strategy that wrote it.")
    facts = torch.load(folder / _FACTS, weights_only=True)
    if facts["sizes"] != _sizes(strategy):
        then, now = (", ".join(f"{name} {size}" for name, size in sizes.items()) for sizes in (facts["sizes"], _sizes(strategy)))
        raise SwiftError(
            f"this checkpoint was written with {then}, and its parts can't be cut anew; this run has {now}",
            where=str(folder),
            hint="Resume with the same sizes; or start anew from the checkpoint's model/.",
        )
    saved: dict[str, Tensor] = torch.load(folder / f"{_part()}.pt", map_location=strategy.device, weights_only=True)
    own = strategy.masters.of
    shapes = [{name: tuple(weight.shape) for name, weight in weights.items()} for weights in (saved, own)]
    if shapes[0] != shapes[1]:
        name = min(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
        raise UsageError(f"the checkpoint has another {name} than the run", where="resume", hint=SAME_MODEL)
    with torch.no_grad():
        for name, weight in saved.items():
            own[name].copy_(weight)
    strategy.masters.publish()
    steps = torch.load(folder / _optimizer(strategy), map_location=strategy.device, weights_only=True)
    load_optimizer(strategy.optimizer, steps, facts["settings"], strategy.settings)
    load_rng_states(folder, strategy.device)


def _sizes(strategy: MegatronStrategy) -> dict[str, int]:
    sizes = strategy.sizes
    return {
        "tensor": sizes.tensor,
        "context": sizes.context,
        "pipeline": sizes.pipeline,
        "chunks": sizes.chunks,
        "expert": sizes.expert,
        "copies": sizes.copies,
        "parts of the optimizer": sizes.copies if strategy.dealt else 1,
    }


def _part() -> str:
    ranks = (dist.get_rank(group()) for group in (groups.tensor, groups.pipeline, groups.experts))
    return "tensor-{}-pipeline-{}-expert-{}".format(*ranks)


def _optimizer(strategy: MegatronStrategy) -> str:
    copy = dist.get_rank(groups.copies()) if strategy.dealt else 0
    return f"optimizer-{_part()}-copy-{copy}.pt"
