"""Errors of the libraries that jobs use, recognised by type, or by text if the library gives nothing else. No library is imported."""

from __future__ import annotations

import sys

_LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "ncclRemoteError")  # plain RuntimeErrors of gloo and NCCL


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out, on the host or on an accelerator."""
    known = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)
    return isinstance(error, (MemoryError, known))


def is_lost_connection(error: Exception) -> bool:
    """Return whether the connection to another process of the run broke, which usually means that the other failed first."""
    return any(text in str(error) for text in _LOST_CONNECTION)
