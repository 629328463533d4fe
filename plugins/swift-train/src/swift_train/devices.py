"""Resolve `auto` of `--device` and `--dtype`.

Devices come from `torch.accelerator`, so CUDA, ROCm, Ascend, Apple and Intel GPUs need no code of their own.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any

import torch

from swift_core.contract import UsageError


def pick_device(name: str = "auto") -> str:
    """Return the device to use: for `auto` the current accelerator if there is one, else the CPU.

    Raises:
        UsageError: this machine has no such device.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator.type if accelerator else "cpu"
    try:
        device = torch.device(name)
        if device.type != "meta":
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        hint = "Use 'auto' for the device that is available."
        raise UsageError(f"the device '{name}' can't be used: {reason}", code="TRAIN-023", where="device", hint=hint) from None
    return name


def computes_bfloat16(device: str) -> bool:
    """Return whether the device computes bfloat16 natively. A CPU without AVX512-BF16, AMX or ARM BF16 emulates it, slower than float32."""
    kind = torch.device(device).type
    if kind == "cpu":
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch before 2.10
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind in ("npu", "xpu", "mps")


def peak_memory(device: torch.device) -> int:
    """Return the peak bytes of memory of this process: allocated by torch on an accelerator, resident on a CPU."""
    if device.type != "cpu" and hasattr(module := torch.get_device_module(device), "max_memory_allocated"):
        return int(module.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_figures(device: torch.device) -> dict[str, int]:
    """Return the peak bytes of memory for the figures of a run; on an accelerator also what torch reserved, and the context beside that."""
    figures, module = {"memory_peak": peak_memory(device)}, None if device.type == "cpu" else torch.get_device_module(device)
    if module is not None and hasattr(module, "max_memory_reserved"):
        figures["memory_reserved"] = int(module.max_memory_reserved(device))
        if hasattr(module, "mem_get_info"):
            free, total = module.mem_get_info(device)  # other processes of the device are counted too
            figures["memory_context"] = max(0, int(total - free) - int(module.memory_reserved(device)))
    return figures


def pick_dtype(name: str, device: str, stored: str) -> str:
    """Return the dtype of the weights: for `auto` the checkpoint's dtype if the device computes it natively, else the nearest one it does.

    Args:
        name: the requested dtype; anything but `auto` is returned unchanged.
        device: the device of the model.
        stored: the dtype of the checkpoint. float32 stays float32 on every device: precision is never reduced without being asked for.
    """
    if name != "auto":
        return name
    if stored == "float32":
        return "float32"
    if computes_bfloat16(device):
        return "bfloat16"
    return "float32" if torch.device(device).type == "cpu" else "float16"
