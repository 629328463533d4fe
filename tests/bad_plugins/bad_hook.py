"""Misspells a hook, which nobody would ever call."""

from __future__ import annotations

from swift_core import hookimpl


@hookimpl
def swift_tuner():
    return []
