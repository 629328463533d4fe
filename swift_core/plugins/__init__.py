"""Plugins: found, loaded, asked, and their parts by name."""

from __future__ import annotations

from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
