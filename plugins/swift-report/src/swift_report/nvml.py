"""NVIDIA's management library (NVML), by ctypes: names, memory and energy of the GPUs. Empty without the driver."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_NAME_LENGTH = 96


def names() -> list[str]:
    """Return the names of the GPUs of this machine."""
    found = []
    with _devices() as (library, devices):
        for device in devices:
            name = ctypes.create_string_buffer(_NAME_LENGTH)
            if library.nvmlDeviceGetName(device, name, _NAME_LENGTH) == 0:
                found.append(name.value.decode(errors="replace"))
    return found


def memory() -> list[tuple[str, int, int]]:
    """Return name, bytes of memory and bytes that are free of each GPU."""
    found = []
    with _devices() as (library, devices):
        for device in devices:
            name, figures = ctypes.create_string_buffer(_NAME_LENGTH), (ctypes.c_ulonglong * 3)()  # total, free, used
            if library.nvmlDeviceGetName(device, name, _NAME_LENGTH) == 0 and library.nvmlDeviceGetMemoryInfo(device, figures) == 0:
                found.append((name.value.decode(errors="replace"), int(figures[0]), int(figures[1])))
    return found


def energy() -> dict[str, float]:
    """Return the joules that each GPU has used since the driver was loaded, by name; without GPUs that do not count them."""
    found = {}
    with _devices() as (library, devices):
        for number, device in enumerate(devices):
            millijoules = ctypes.c_ulonglong()
            if library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) == 0:
                found[f"gpu {number}"] = millijoules.value / 1000
    return found


@contextmanager
def _devices() -> Iterator[tuple[ctypes.CDLL, list[ctypes.c_void_p]]]:
    """Initialise the library; yield it with the handles of the GPUs (none without the library)."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        yield ctypes.CDLL(None), []
        return
    if library.nvmlInit_v2() != 0:
        yield library, []
        return
    try:
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        devices = []
        for number in range(count.value):
            device = ctypes.c_void_p()
            if library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)) == 0:
                devices.append(device)
        yield library, devices
    finally:
        library.nvmlShutdown()
