"""The device module `torch.sim`, as vendors of accelerators write one: what `torch.get_device_module` returns."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import torch

Stream, Event = torch.Stream, torch.Event
_DEVICES = 2
_MEMORY = 2**30  # bytes of a device


def load() -> None:
    """Register the device: the entry point that `import torch` calls."""
    if hasattr(torch, "sim"):
        return
    torch.utils.rename_privateuse1_backend("sim")
    torch._register_device_module("sim", sys.modules[__name__])
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    if torch.distributed.is_available():
        from swift_sim.collectives import register

        register(_device().host)


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def _is_in_bad_fork() -> bool:
    return False


def device_count() -> int:
    """Return the number of devices."""
    return _DEVICES


def current_device() -> int:
    """Return the index of the current device."""
    return int(_device().current())


def set_device(device: Any) -> None:
    """Set the current device."""
    _device().select(_index(device))


class device(AbstractContextManager[None]):
    """A context in which a device is the current one."""

    def __init__(self, device: Any) -> None:
        self._index, self._before = _index(device), -1

    def __enter__(self) -> None:
        self._before = current_device()
        set_device(self._index)

    def __exit__(self, *_: object) -> None:
        set_device(self._before)


def get_device_name(device: Any = None) -> str:
    """Return the name of a device."""
    return f"simulated accelerator {_index(device)}"


def synchronize(device: Any = None) -> None:
    """Wait for nothing: work is done when it is given."""


def current_stream(device: Any = None) -> Stream:
    """Return the only stream."""
    return torch.accelerator.current_stream(_index(device))


def stream(stream: Stream | None) -> AbstractContextManager[None]:
    """Enter the only stream."""
    return nullcontext()


def manual_seed(seed: int) -> None:
    """Seed the current device."""
    _device().generator(current_device()).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed every device."""
    for index in range(_DEVICES):
        _device().generator(index).manual_seed(seed)


def get_rng_state(device: Any = None) -> torch.Tensor:
    """Return the state of a device's generator."""
    return _device().generator(_index(device)).get_state()  # type: ignore[no-any-return]


def set_rng_state(state: torch.Tensor, device: Any = None) -> None:
    """Set it."""
    _device().generator(_index(device)).set_state(state)


def get_amp_supported_dtype() -> list[torch.dtype]:
    """Return the dtypes of autocast."""
    return [torch.bfloat16, torch.float16]


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """True."""
    return True


def memory_allocated(device: Any = None) -> int:
    """Return the bytes that tensors hold."""
    return int(_device().allocated(_index(device)))


def max_memory_allocated(device: Any = None) -> int:
    """Return the most that they held."""
    return int(_device().peak(_index(device)))


memory_reserved, max_memory_reserved = memory_allocated, max_memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin anew with what they hold now."""
    _device().reset_peak(_index(device))


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Return the free bytes and all of them."""
    return _MEMORY - memory_allocated(device), _MEMORY


def empty_cache() -> None:
    """Free nothing: nothing is kept."""


def _index(device: Any) -> int:
    if device is None:
        return current_device()
    if isinstance(device, int):
        return device
    index = torch.device(device).index
    return current_device() if index is None else int(index)


def _device() -> Any:
    """Return the compiled part."""
    return import_module("swift_sim._compiled")
