"""Environments: find the Python interpreter that has the engine of a part."""

from __future__ import annotations

from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
