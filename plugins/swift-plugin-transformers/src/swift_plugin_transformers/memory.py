"""Size of the key-value cache: parse a size such as 2GB, or choose one from the free memory."""

from __future__ import annotations

import os

import torch

MAX_AUTO = 4 * 2**30  # bytes; maximum of `auto`

_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


def cache_bytes(text: str, device: torch.device) -> int:
    """Return the bytes of "2GB" or "512MiB" (GB is 1000³, GiB 1024³); "auto": a quarter of the device's free memory, at most 4 GiB."""
    if text == "auto":
        return min(MAX_AUTO, _free(device) // 4)
    number, unit = text.rstrip("iB")[:-1], text.rstrip("iB")[-1]
    return int(float(number) * (1024 if "i" in text else 1000) ** _UNITS[unit])


def _free(device: torch.device) -> int:
    if device.type != "cpu" and hasattr(module := torch.get_device_module(device), "mem_get_info"):
        return int(module.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
