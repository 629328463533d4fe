"""The device of an evaluation beside a training, and the environment in which its process sees no other."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from swift_core.contract import UsageError
from swift_core.system import paths

_VISIBLE = {  # kind of device → variable with the numbers of those that a process may use
    "cuda": "HIP_VISIBLE_DEVICES" if torch.version.hip else "CUDA_VISIBLE_DEVICES",
    "npu": "ASCEND_RT_VISIBLE_DEVICES",
    "xpu": "ZE_AFFINITY_MASK",
}
_OF_A_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT")
_OF_A_WORKER = ("SWIFT_LOAD_PLUGINS", paths.RUN_NAME)


def evaluation_device(asked: str, ranks: int) -> str:
    """Return the device for `auto`: the last accelerator of this machine, if the training's processes use others.

    Args:
        asked: the device that the user names, or auto.
        ranks: processes of the training on this machine; they use the first devices.

    Raises:
        UsageError: there is none.
    """
    if asked != "auto":
        return asked
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if accelerator else 0
    if accelerator is None or count <= ranks:
        have = f"the training uses {ranks} of {count} accelerators" if count else "there is no accelerator"
        hint = "Select one (device: cuda:1), or use device: cpu, which shares the CPU cores with the training; or train on fewer devices."
        raise UsageError(f"no device is free for the evaluation: {have}", code="EVAL-119", where="callbacks.evaluate.device", hint=hint)
    return f"{accelerator.type}:{count - 1}"


def environment_on(device: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that computes on a device, without what belongs to a process of the training."""
    kind, _, number = device.partition(":")
    found = {name: value for name, value in environment.items() if name not in (*_OF_A_RANK, *_OF_A_WORKER) and "TORCHELASTIC" not in name}
    for of, name in _VISIBLE.items():
        if of == kind and number:
            visible = [each for each in environment.get(name, "").split(",") if each]
            found[name] = visible[int(number)] if int(number) < len(visible) else number
        elif kind == "cpu":
            found[name] = ""
    return found


def local_ranks() -> int:
    """Return the number of the training's processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
