"""Hubs that give the headers of weight files without the weights, by range requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from swift_core.contract import Hub

if TYPE_CHECKING:
    from swift_core.contract import Reference

Header = Mapping[str, Mapping[str, Any]]
"""Tensor name → dtype, shape, data_offsets, as in a safetensors file."""


@runtime_checkable
class HeaderHub(Hub, Protocol):
    """A hub that can read a part of a file."""

    def headers(self, reference: Reference) -> Mapping[str, Header]:
        """Return the headers of a repository's safetensors files, by file; empty if it has none.

        Raises:
            UsageError: no such repository, or no access to it.
            SwiftError: the network failed.
        """
        ...
