"""Process-group basics that every strategy needs: rank and device, CPU cores, collectives, random states.

The processes find each other through torchrun's environment variables: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and
MASTER_PORT.
"""

from __future__ import annotations

import atexit
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist

from swift_train.devices import pick_device
from swift_train.training_state import save_tensors

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_TORCH_TIMEOUT = 1800.0  # seconds; torch.distributed's default for gloo


def rank_and_size() -> tuple[int, int]:
    """Return this process's rank and the number of processes; (0, 1) if it was not started by a launcher."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def rank_device(name: str) -> torch.device:
    """Return this process's device: for accelerators, the one with the index LOCAL_RANK. Also sets it as the current device."""
    place = pick_device(name)
    if ":" in place or place in ("cpu", "mps"):
        return torch.device(place)
    local = torch.device(place, int(os.environ.get("LOCAL_RANK", "0")))
    torch.accelerator.set_device_index(local)
    return local


def join(device: torch.device, backend: str = "", timeout: float = 0.0) -> None:
    """Initialise the default process group if there is none; a single process gets a group of one, for engines that need a group.

    Args:
        device: of this process.
        backend: of torch.distributed; by default the device's (gloo, nccl, …).
        timeout: seconds after which the watchdog ends a run that hangs. torch's own timeout is set longer, since it can't name the
            process that hangs.
    """
    if dist.is_initialized():
        return
    rank, size = rank_and_size()
    _share_cores(device)
    store = dist.HashStore() if size == 1 else None  # type: ignore[attr-defined]  # a single process needs no rendezvous
    wait = timedelta(seconds=max(_TORCH_TIMEOUT, 2 * timeout))
    dist.init_process_group(backend or dist.get_default_backend_for_device(device), store=store, rank=rank, world_size=size, timeout=wait)
    atexit.register(_leave)


def all_reduce(x: float, op: Literal["sum", "max"], device: torch.device) -> float:
    """Reduce a number over all processes by sum or maximum; without a process group, return it unchanged. Collective."""
    if not dist.is_initialized():
        return x
    total = torch.tensor(x, dtype=torch.float64, device=device)
    dist.all_reduce(total, dist.ReduceOp.SUM if op == "sum" else dist.ReduceOp.MAX)
    return total.item()


def compute_dtype(module: Module) -> torch.dtype:
    """Return the dtype of the forward and backward passes: float16 or bfloat16 if any weight has it, else float32."""
    kinds = {parameter.dtype for parameter in module.parameters()}
    return next((kind for kind in (torch.float16, torch.bfloat16) if kind in kinds), torch.float32)


def rng_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of this process's random number generators, by device type."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def set_rng_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Restore what `rng_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type in states and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[device.type])


def save_rng_states(folder: Path, device: torch.device) -> None:
    """Write this process's random states into a checkpoint folder."""
    save_tensors(_random_file(folder), rng_states(device))


def load_rng_states(folder: Path, device: torch.device) -> None:
    """Restore what `save_rng_states` wrote, on any number of processes; a rank without a file keeps its current states."""
    file = _random_file(folder)
    if file.is_file():
        set_rng_states(torch.load(file, map_location="cpu", weights_only=True), device)


def _random_file(folder: Path) -> Path:
    return folder / f"random-{rank_and_size()[0]}.pt"


def _share_cores(device: torch.device) -> None:
    """Divide a machine's CPU cores among its ranks, unless OMP_NUM_THREADS is set."""
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
