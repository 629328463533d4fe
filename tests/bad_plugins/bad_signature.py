"""Asks for an argument that the hook does not have."""

from __future__ import annotations

from swift_core import hookimpl


@hookimpl
def swift_check(run, mood):
    return []
