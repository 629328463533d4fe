"""How much memory the cached keys and values may take: a size in words, or what is safe on this machine."""

from __future__ import annotations

import os

import torch

MOST = 4 * 2**30  # of `auto`: more than this is asked for by name

_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


def cache_bytes(text: str, device: torch.device) -> int:
    """Bytes of "2GB" or "512MiB" (GB is 1000³, GiB 1024³); of "auto", a quarter of what is free on the device, 4 GiB at most."""
    if text == "auto":
        return min(MOST, _free(device) // 4)
    number, unit = text.rstrip("iB")[:-1], text.rstrip("iB")[-1]
    return int(float(number) * (1024 if "i" in text else 1000) ** _UNITS[unit])


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
