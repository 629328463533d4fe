"""A model that is cut is read by one process alone: the others build its shapes, and are given the weights a few at a time.

Otherwise every process of a machine would hold the whole model in main memory before it keeps its part, and N processes N times. Buffers,
such as the frequencies of rotary positions, are in no checkpoint: on `meta` they are never computed, so they are given out with the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from swift_core.errors import PeerFailed
from swift_train.ranks import all_reduce, rank_and_size

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_FAILED, _OTHER = -1.0, -2.0
_META = torch.device("meta")


def load_on_first_rank(load: Callable[[torch.device], Module], device: torch.device) -> tuple[Module, int]:
    """Load into main memory in the first process, and on `meta` in the others, whose buffers are made right. Collective.

    A process that can't build the same without the weights, as with a tuner that starts from them (PiSSA), loads them too.

    Args:
        load: the strategy's.
        device: on which the processes exchange tensors.

    Returns:
        The module, and how many processes have read all of it.

    Raises:
        PeerFailed: the first process could not load it, and says why itself.
    """
    rank, size = rank_and_size()
    first, module, failure = rank == 0, None, None
    try:
        module = load(torch.device("cpu") if first else _META)
    except Exception as error:
        failure = error
    own = _layout(module) if module is not None else _FAILED
    theirs = all_reduce(own if first else _OTHER, "max", device)
    if theirs == _FAILED:
        raise (failure if first and failure else PeerFailed("process 0 could not load the model", hint="Its message is in log.txt."))
    if module is None or own != theirs or _strays(module):
        module = load(torch.device("cpu"))
    whole = all_reduce(float(not any(parameter.is_meta for parameter in module.parameters())), "sum", device)
    if size > 1:
        for buffer in _buffers(module):
            _receive(buffer, device)
    return module, int(whole)


def broadcast_parameters(parameters: Iterable[Tensor], device: torch.device) -> None:
    """Make parameters of a module from `load_once` what they are in the first process. Collective, in the same order everywhere."""
    if rank_and_size()[1] > 1:
        for parameter in parameters:
            _receive(parameter, device)


def materialize(parameter: Tensor, device: torch.device) -> None:
    """Give a tensor on `meta` memory, whoever holds it: it stays the same object, for modules that share it and for optimizers."""
    if not parameter.is_meta:
        return
    fresh: Tensor = torch.empty_like(parameter, device=device)
    if isinstance(parameter, torch.nn.Parameter):
        fresh = torch.nn.Parameter(fresh, requires_grad=parameter.requires_grad)
    torch.utils.swap_tensors(parameter, fresh)


def _receive(tensor: Tensor, device: torch.device) -> None:
    materialize(tensor, device)
    there = tensor.detach().to(device).contiguous()
    dist.broadcast(there.reshape(-1).view(torch.uint8), 0)  # bytes: no backend knows every type
    if there.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(there)


def _layout(module: Module) -> float:
    """Names, shapes and types of all tensors, as a number that a float can hold."""
    named = [*module.named_parameters(), *module.named_buffers()]
    facts = [(name, tuple(tensor.shape), str(tensor.dtype), tensor.requires_grad) for name, tensor in named]
    return float(int(hashlib.sha256(repr(facts).encode()).hexdigest()[:12], 16))


def _buffers(module: Module) -> Iterator[Tensor]:
    return (buffer for _, buffer in module.named_buffers())


def _strays(module: Module) -> bool:
    """Whether a module keeps tensors on `meta` that are neither parameters nor buffers: nobody would fill them."""
    return any(isinstance(value, torch.Tensor) and value.is_meta for part in module.modules() for value in vars(part).values())
