"""Offline mode: SWIFT_OFFLINE, HF_HUB_OFFLINE, --offline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from swift_core.contract import UsageError

_TRUE = {"1", "true", "yes", "on"}
_VARIABLE = "SWIFT_OFFLINE"


def offline() -> bool:
    """Return whether the user forbade the network, with SWIFT_OFFLINE=1 or Hugging Face's HF_HUB_OFFLINE=1."""
    return any(os.environ.get(name, "").strip().lower() in _TRUE for name in (_VARIABLE, "HF_HUB_OFFLINE"))


@contextmanager
def offline_if(forbidden: bool) -> Iterator[None]:
    """Forbid the network until the block ends, if `forbidden`; hubs, datasets and media see it as SWIFT_OFFLINE."""
    before = os.environ.get(_VARIABLE)
    if forbidden:
        os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is not None:
            os.environ[_VARIABLE] = before
        elif forbidden:
            os.environ.pop(_VARIABLE, None)


def refuse_offline(what: str) -> None:
    """Raise UsageError if the network is forbidden and `what` would have to be downloaded."""
    if offline():
        raise UsageError(
            f"offline, and {what} is not in the cache", code="FILE-001", hint="Fetch it once without SWIFT_OFFLINE and HF_HUB_OFFLINE."
        )
