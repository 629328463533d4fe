"""Load a sharded model on rank 0 only and broadcast its parameters: the other ranks build it on the `meta` device.

Otherwise every process of a machine would hold the whole model in main memory before it keeps its shard: N processes, N copies. Buffers,
such as the frequencies of rotary embeddings, are not in checkpoints and are never computed on `meta`, so they are broadcast too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from swift_core.contract import PeerFailed
from swift_train.ranks import all_reduce, rank_and_size

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_FAILED, _OTHER = -1.0, -2.0
_META = torch.device("meta")


def load_on_first_rank(load: Callable[[torch.device], Module], device: torch.device) -> tuple[Module, int]:
    """Load a module into main memory on rank 0, and on `meta` on the other ranks with buffers broadcast from rank 0. Collective.

    A rank that can't build the same module without the weights, as with a tuner that starts from them (PiSSA), loads them too.

    Args:
        load: the function given to `Strategy.build`.
        device: the device on which ranks exchange tensors.

    Returns:
        The module, and the number of ranks that have read all of it.

    Raises:
        PeerFailed: on the other ranks, if rank 0 could not load it; rank 0 raises its own error.
    """
    rank, size = rank_and_size()
    first, module, failure = rank == 0, None, None
    try:
        module = load(torch.device("cpu") if first else _META)
    except Exception as error:
        failure = error
    own = _layout(module) if module is not None else _FAILED
    rank_zero = all_reduce(own if first else _OTHER, "max", device)
    if rank_zero == _FAILED:
        raise (
            failure
            if first and failure
            else PeerFailed("process 0 could not load the model", code="TRAIN-001", hint="See its error in log.txt.")
        )
    if module is None or own != rank_zero or _has_unregistered_meta_tensors(module):
        module = load(torch.device("cpu"))
    whole = all_reduce(float(not any(parameter.is_meta for parameter in module.parameters())), "sum", device)
    if size > 1:
        for buffer in _buffers(module):
            _receive(buffer, device)
    return module, int(whole)


def broadcast_parameters(parameters: Iterable[Tensor], device: torch.device) -> None:
    """Broadcast parameters of a module from `load_on_first_rank` from rank 0. Collective, in the same order on every rank."""
    if rank_and_size()[1] > 1:
        for parameter in parameters:
            _receive(parameter, device)


def materialize(parameter: Tensor, device: torch.device) -> None:
    """Allocate memory for a tensor on `meta`, in place: it stays the same object for modules that share it and for optimizers."""
    if not parameter.is_meta:
        return
    fresh: Tensor = torch.empty_like(parameter, device=device)
    if isinstance(parameter, torch.nn.Parameter):
        fresh = torch.nn.Parameter(fresh, requires_grad=parameter.requires_grad)
    torch.utils.swap_tensors(parameter, fresh)  # type: ignore[no-untyped-call]


def _receive(tensor: Tensor, device: torch.device) -> None:
    materialize(tensor, device)
    on_device = tensor.detach().to(device).contiguous()
    dist.broadcast(on_device.reshape(-1).view(torch.uint8), 0)  # as bytes, since no backend supports every dtype
    if on_device.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(on_device)


def _layout(module: Module) -> float:
    """Hash names, shapes and dtypes of all tensors to an integer that a float64 represents exactly."""
    named = [*module.named_parameters(), *module.named_buffers()]
    facts = [(name, tuple(tensor.shape), str(tensor.dtype), tensor.requires_grad) for name, tensor in named]
    return float(int(hashlib.sha256(repr(facts).encode()).hexdigest()[:12], 16))


def _buffers(module: Module) -> Iterator[Tensor]:
    return (buffer for _, buffer in module.named_buffers())


def _has_unregistered_meta_tensors(module: Module) -> bool:
    """Return whether a module keeps tensors on `meta` that are neither parameters nor buffers, and so would never be filled."""
    return any(isinstance(value, torch.Tensor) and value.is_meta for part in module.modules() for value in vars(part).values())
