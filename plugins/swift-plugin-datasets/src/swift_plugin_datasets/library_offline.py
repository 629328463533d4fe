"""Offline mode of the libraries `datasets` and `huggingface_hub`, which read HF_HUB_OFFLINE only while they are imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from swift_core.system import network


@contextmanager
def library_offline() -> Iterator[None]:
    """Keep the libraries from connecting until the block ends, if the network is forbidden (`--offline`, SWIFT_OFFLINE)."""
    if not network.offline():
        yield
        return
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
