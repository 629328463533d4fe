"""What every strategy needs of a process among several: its device, its share of the cores, the others, its random numbers.

The processes find each other as torchrun's variables say: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
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

_TORCHS_OWN = 1800.0  # seconds


def rank_and_size() -> tuple[int, int]:
    """Which process this is, and of how many."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def rank_device(name: str) -> torch.device:
    """This process's device: of several of a kind, the one that its local rank counts to."""
    place = pick_device(name)
    if ":" in place or place in ("cpu", "mps"):
        return torch.device(place)
    local = torch.device(place, int(os.environ.get("LOCAL_RANK", "0")))
    torch.accelerator.set_device_index(local)
    return local


def join(device: torch.device, backend: str = "", timeout: float = 0.0) -> None:
    """Meet the other processes, once; a process that is alone meets itself, for engines that want a group.

    Args:
        backend: torch.distributed's, by default the one of the device (gloo, nccl, …).
        timeout: the strategy's, after which the loop ends a run that hangs; torch itself must wait longer, for it can't say who hangs.
    """
    if dist.is_initialized():
        return
    rank, size = rank_and_size()
    _share_cores(device)
    store = dist.HashStore() if size == 1 else None  # nobody has to find a process that is alone
    wait = timedelta(seconds=max(_TORCHS_OWN, 2 * timeout))
    dist.init_process_group(backend or dist.get_default_backend_for_device(device), store=store, rank=rank, world_size=size, timeout=wait)
    atexit.register(_leave)


def all_reduce(x: float, op: Literal["sum", "max"], device: torch.device) -> float:
    """Sum or largest of a number over the processes that have joined; of one that is alone, the number. Collective."""
    if not dist.is_initialized():
        return x
    total = torch.tensor(x, dtype=torch.float64, device=device)
    dist.all_reduce(total, dist.ReduceOp.SUM if op == "sum" else dist.ReduceOp.MAX)
    return total.item()


def compute_dtype(module: Module) -> torch.dtype:
    """The type that the passes are computed in: bfloat16 or float16 where weights are, else float32."""
    kinds = {parameter.dtype for parameter in module.parameters()}
    return next((kind for kind in (torch.float16, torch.bfloat16) if kind in kinds), torch.float32)


def rng_states(device: torch.device) -> dict[str, Tensor]:
    """The states of this process's random numbers, by kind of device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def set_rng_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `rng_states` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type in states and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[device.type])


def save_rng_states(folder: Path, device: torch.device) -> None:
    """Write this process's to a checkpoint."""
    save_tensors(_random_file(folder), rng_states(device))


def load_rng_states(folder: Path, device: torch.device) -> None:
    """The inverse, on any number of processes: one that there was not keeps the random numbers that it began with."""
    file = _random_file(folder)
    if file.is_file():
        set_rng_states(torch.load(file, map_location="cpu", weights_only=True), device)


def _random_file(folder: Path) -> Path:
    return folder / f"random-{rank_and_size()[0]}.pt"


def _share_cores(device: torch.device) -> None:
    """Ranks on one machine's CPU share its cores, unless the user has said how."""
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
