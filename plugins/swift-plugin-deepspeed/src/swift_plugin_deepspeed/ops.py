"""DeepSpeed's compiled operators: only those that are needed are built, and a killed build does not block later ones.

torch marks a build with a file named `lock`. A killed build leaves it behind, and every later run would wait for it forever. Builds here
therefore hold a file lock of the operating system, which is released when its process ends; its holder may remove torch's file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.system import cache_dir

if TYPE_CHECKING:
    from torch.optim import Optimizer

log = logging.getLogger(__name__)


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold the exclusive lock on building operators in a folder, and remove lock files that killed builds left."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "building").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in folder.glob("*/lock"):
            log.warning("Removing %s, left by a build that was killed.", left)
            left.unlink()
        yield


def cpu_adam(optimizer: Optimizer) -> Optimizer:
    """Return DeepSpeedCPUAdam in place of torch's AdamW; any other optimizer, or one that can't be compiled, unchanged.

    The first call compiles the operator, which takes a minute or two.
    """
    import torch
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    if type(optimizer) is not torch.optim.AdamW:
        return optimizer
    folder = operators_folder()
    os.environ["TORCH_EXTENSIONS_DIR"] = str(folder)
    groups = [
        {key: group[key] for key in ("params", "lr", "betas", "eps", "weight_decay", "mult") if key in group}
        for group in optimizer.param_groups
    ]
    try:
        with build_lock(folder):
            made: Optimizer = DeepSpeedCPUAdam(groups, adamw_mode=True)
    except (RuntimeError, OSError, ImportError) as error:
        reason = str(error).strip().splitlines()
        log.warning("CPUAdam can't be compiled (%s); using torch's AdamW, which is slower.", reason[-1] if reason else error)
        return optimizer
    made.register_step_pre_hook(_reset_powers)
    return made


def operators_folder() -> Path:
    """Return the folder for compiled operators, one per version of DeepSpeed, torch and Python and per machine type."""
    return cache_dir("deepspeed", f"{version('deepspeed')}-torch-{version('torch')}-{platform.python_version()}-{platform.machine()}")


def _reset_powers(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Make a step of CPUAdam depend on its step number only, by an update of an empty tensor with other betas.

    CPUAdam accumulates the powers of the betas from step to step, but recomputes them after a resume, which rounds differently.
    """
    import torch

    nothing = torch.zeros(1)
    optimizer.ds_opt_adam.adam_update(optimizer.opt_id, 1, 0.0, 0.0, 0.0, 1.0, 0.0, False, nothing, nothing, nothing, nothing)


def disable_shared_memory() -> None:
    """Keep `init_distributed` from compiling the shared-memory operator, which only inference uses."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
