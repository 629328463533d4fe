"""Checkpoints through torch.distributed.checkpoint: each process writes its parts, by the parameters' names, and any number reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from swift_core.contract.errors import SwiftError, UsageError
from swift_train.ranks import load_rng_states, save_rng_states
from swift_train.training_state import SAME_MODEL, save_tensors, set_changed

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_train.loss_scale import LossScale

Settings = Sequence[Mapping[str, Any]]

_SHARDS = "shards"
_LEARNED = StateDictOptions(ignore_frozen_params=True, strict=False)


def save_sharded(
    folder: Path, facts: str, module: Module, optimizer: Optimizer, *, scale: LossScale, settings: Settings, device: torch.device,
    writes: bool, part: str = "",
) -> None:  # fmt: skip
    """Write a cut model's checkpoint: what learns, the optimizer, the loss scale, each process's random states. Collective.

    Args:
        facts: name of the file that tells whose checkpoint it is.
        settings: what the optimizer's groups were made with.
        writes: this is the process that writes that file.
        part: which part of the model this process has, where others have others; each has a file of its own.
    """
    save_rng_states(folder, device)
    if writes:
        save_tensors(folder / facts, {"scale": scale.state(), "settings": settings})
    save_states(folder / _SHARDS, module, optimizer, part=part)


def load_sharded(
    folder: Path, facts: str, module: Module, optimizer: Optimizer, *, scale: LossScale, settings: Settings, device: torch.device,
    part: str = "",
) -> None:  # fmt: skip
    """The inverse, on any number of processes. Collective.

    Raises:
        SwiftError: another strategy wrote it.
        UsageError: as `load_states`.
    """
    if not (folder / facts).is_file():
        name = facts.removesuffix(".pt")
        raise SwiftError(f"this checkpoint is not {name}'s", where=str(folder), hint="Resume with the strategy that wrote it.")
    saved = torch.load(folder / facts, weights_only=True)
    load_states(folder / _SHARDS, module, optimizer, saved["settings"], settings, part=part)
    scale.load(saved["scale"])
    load_rng_states(folder, device)


def save_states(folder: Path, module: Module, optimizer: Optimizer, *, part: str = "") -> None:
    """Write what learns and the optimizer's state. Collective; every process raises where one can't write."""
    try:
        dcp.save(_state(module, optimizer, part), storage_writer=_Writer(folder))
    except CheckpointException as error:
        raise cause(error) from error


def load_states(folder: Path, module: Module, optimizer: Optimizer, then: Settings, now: Settings, *, part: str = "") -> None:
    """The inverse, on any number of processes. Collective.

    Args:
        then, now: what the optimizer's groups were made with when it was saved, and in this run: what has changed is as it is now.

    Raises:
        UsageError: the checkpoint's weights are others than the model's.
    """
    state = _state(module, optimizer, part)
    saved = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    for name, weight in state["weights"].items():
        shape = tuple(getattr(saved.get(f"weights.{name}"), "size", ()))
        if shape != tuple(weight.shape):
            has = f"has {name} of the shape {shape}" if shape else f"has no {name}"
            raise UsageError(f"the checkpoint {has}; here it has {tuple(weight.shape)}", where="resume", hint=SAME_MODEL)
    try:
        dcp.load(state, checkpoint_id=folder)
    except CheckpointException as error:
        raise cause(error) from error
    set_model_state_dict(module, state["weights"], options=_LEARNED)
    set_optimizer_state_dict(module, optimizer, state[f"optimizer{part}"], options=_LEARNED)
    set_changed(optimizer, then, now)


def cause(error: CheckpointException) -> Exception:
    """What happened on the first process that failed: a full disk is told from what is our own fault."""
    first: BaseException = error.failures[min(error.failures)][0]
    return first if isinstance(first, Exception) else RuntimeError(str(error))


class _Writer(dcp.FileSystemWriter):
    def write_data(self, *args: Any) -> Any:
        """Write this process's parts. When the disk is full, torch closes its file all the same, and fails with an error of its own."""
        try:
            return super().write_data(*args)
        except Exception as error:
            raise _first(error) from error


def _first(error: BaseException) -> BaseException:
    """The error of the operating system that an error came from; else the error itself."""
    found: BaseException | None = error
    while found and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return found or error


def _state(module: Module, optimizer: Optimizer, part: str) -> dict[str, Any]:
    return {
        "weights": get_model_state_dict(module, options=_LEARNED),
        f"optimizer{part}": get_optimizer_state_dict(module, optimizer, options=_LEARNED),
    }
