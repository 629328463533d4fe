"""The contract: hooks, specs, roles, runs, references and errors. Everything a plugin's own module needs."""

from __future__ import annotations

from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
