"""Sharded checkpoints with torch.distributed.checkpoint: each process writes its shards, and any number of processes can read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from swift_core.contract import SwiftError, UsageError
from swift_train.local_shards import LocalShardOptimizer
from swift_train.ranks import load_rng_states, rank_and_size, save_rng_states
from swift_train.training_state import SAME_MODEL, load_optimizer, save_tensors, set_changed

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_train.loss_scale import LossScale

Settings = Sequence[Mapping[str, Any]]

_SHARDS = "shards"
_TRAINABLE = StateDictOptions(ignore_frozen_params=True, strict=False)


def save_sharded(
    folder: Path, facts: str, module: Module, optimizer: Optimizer, *, scale: LossScale, settings: Settings, device: torch.device,
    writes: bool, part: str = "",
) -> None:  # fmt: skip
    """Write a sharded model's training state: trainable weights, optimizer, loss scale, random states of each process. Collective.

    Args:
        folder: the checkpoint's `state/`, shared by all processes.
        facts: name of the file that identifies the strategy.
        settings: initial settings of the optimizer's parameter groups.
        writes: whether this process writes that file.
        part: name of the part of the model that this process holds, if the model is split between groups of processes.
    """
    save_rng_states(folder, device)
    if writes:
        save_tensors(folder / facts, {"scale": scale.state(), "settings": settings})
    save_states(folder / _SHARDS, module, optimizer, part=part)
    if isinstance(optimizer, LocalShardOptimizer):
        save_tensors(folder / _own_file(), optimizer.state_dict())


def load_sharded(
    folder: Path, facts: str, module: Module, optimizer: Optimizer, *, scale: LossScale, settings: Settings, device: torch.device,
    part: str = "",
) -> None:  # fmt: skip
    """Restore what `save_sharded` wrote, on any number of processes. Collective.

    Raises:
        SwiftError: another strategy wrote the checkpoint.
        UsageError: see `load_states`.
    """
    if not (folder / facts).is_file():
        name = facts.removesuffix(".pt")
        raise SwiftError(
            f"this checkpoint was not written by {name}",
            code="TRAIN-064",
            where=str(folder),
            hint="Resume with the strategy that wrote it.",
        )
    saved = torch.load(folder / facts, weights_only=True)
    load_states(folder / _SHARDS, module, optimizer, saved["settings"], settings, part=part)
    if isinstance(optimizer, LocalShardOptimizer):
        _load_own(folder, optimizer, saved["settings"], settings)
    scale.load(saved["scale"])
    load_rng_states(folder, device)


def save_states(folder: Path, module: Module, optimizer: Optimizer, *, part: str = "") -> None:
    """Write trainable weights and optimizer state. Collective; every process raises if one of them can't write."""
    try:
        save(_state(module, optimizer, part), storage_writer=_Writer(folder))
    except CheckpointException as error:
        raise cause(error) from error


def load_states(
    folder: Path, module: Module, optimizer: Optimizer, saved_settings: Settings, settings: Settings, *, part: str = ""
) -> None:
    """Restore what `save_states` wrote, on any number of processes. Collective.

    Args:
        saved_settings, settings: initial settings of the optimizer's parameter groups in the saved run and in this one; changed
            settings keep the value of this run.

    Raises:
        UsageError: the checkpoint's weights differ in name or shape from the model's.
    """
    state = _state(module, optimizer, part)
    saved = FileSystemReader(folder).read_metadata().state_dict_metadata
    for name, weight in state["weights"].items():
        shape = tuple(getattr(saved.get(f"weights.{name}"), "size", ()))
        if shape != tuple(weight.shape):
            has = f"has {name} with shape {shape}" if shape else f"has no {name}"
            raise UsageError(
                f"the checkpoint {has}; the model's has shape {tuple(weight.shape)}", code="TRAIN-065", where="resume", hint=SAME_MODEL
            )
    try:
        load(state, checkpoint_id=folder)
    except CheckpointException as error:
        raise cause(error) from error
    set_model_state_dict(module, state["weights"], options=_TRAINABLE)
    if not isinstance(optimizer, LocalShardOptimizer):
        set_optimizer_state_dict(module, optimizer, state[f"optimizer{part}"], options=_TRAINABLE)
        set_changed(optimizer, saved_settings, settings)


def _own_file() -> str:
    rank, size = rank_and_size()
    return f"optimizer-{rank}-of-{size}.pt"


def _load_own(folder: Path, optimizer: Optimizer, saved: Settings, settings: Settings) -> None:
    """Restore the state of an optimizer on this process's shards."""
    file = folder / _own_file()
    if not file.is_file():
        message = "the state of this optimizer can't be resharded, and the checkpoint has none for this number of processes"
        hint = "Resume with the number of processes that wrote it, or start a new run from the checkpoint's model/."
        raise SwiftError(message, code="TRAIN-212", where=str(folder), hint=hint)
    load_optimizer(optimizer, torch.load(file, map_location="cpu", weights_only=True), saved, settings)


def cause(error: CheckpointException) -> Exception:
    """Return the error of the lowest rank that failed, so that a full disk is recognised."""
    first: BaseException = error.failures[min(error.failures)][0]
    return first if isinstance(first, Exception) else RuntimeError(str(error))


class _Writer(FileSystemWriter):
    def write_data(self, *args: Any) -> Any:
        """Write this process's shards; raise the operating system's error if the disk is full, not torch's error on closing the file."""
        try:
            return super().write_data(*args)
        except Exception as error:
            raise _first(error) from error


def _first(error: BaseException) -> BaseException:
    """Return the OSError that caused an error; otherwise the error itself."""
    found: BaseException | None = error
    while found and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return found or error


def _state(module: Module, optimizer: Optimizer, part: str) -> dict[str, Any]:
    state: dict[str, Any] = {"weights": get_model_state_dict(module, options=_TRAINABLE)}
    if not isinstance(optimizer, LocalShardOptimizer):
        state[f"optimizer{part}"] = get_optimizer_state_dict(module, optimizer, options=_TRAINABLE)
    return state
