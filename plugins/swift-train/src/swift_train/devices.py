"""Where a model is computed and in which type: what `auto` means for `--device` and `--dtype`.

Devices go through `torch.accelerator`, so CUDA, ROCm, Ascend, Apple and Intel GPUs are names here and not branches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from swift_core.errors import UsageError


def pick_device(name: str = "auto") -> str:
    """The device to use: `auto` is the current accelerator where there is one, else the CPU.

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
        raise UsageError(f"the device '{name}' can't be used: {reason}", where="device", hint="'auto' takes what there is.") from None
    return name


def computes_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware. A CPU without AVX512-BF16, AMX or ARM's BF16 emulates it, slower than float32."""
    kind = torch.device(device).type
    if kind == "cpu":
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.10 can't tell
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind in ("npu", "xpu", "mps")


def pick_dtype(name: str, device: str, stored: str) -> str:
    """The type of the weights: `auto` is the checkpoint's own where the device computes in it, else the nearest that it does.

    Args:
        name: what the user asked for; anything but `auto` is taken as it is.
        device: where the model will be.
        stored: the type that the checkpoint is stored in. Float32 stays float32 on every device: nothing is rounded unasked.
    """
    if name != "auto":
        return name
    if stored == "float32":
        return "float32"
    if computes_bfloat16(device):
        return "bfloat16"
    return "float32" if torch.device(device).type == "cpu" else "float16"
