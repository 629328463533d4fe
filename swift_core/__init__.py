"""swift-core: from a language model to a solved problem, with every implementation an installable plugin.

The package imports nothing heavy: names are looked up when they are used. Each installed verb is a function here: `swift_core.sft(…)`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from swift_core.contract import __version__

if TYPE_CHECKING:
    from swift_core.api import run_server, run_verb, use_plugins
    from swift_core.contract import API_VERSION, Ref, SwiftError, UsageError, hookimpl

_HOMES = {
    **dict.fromkeys(("run_server", "run_verb", "use_plugins"), "swift_core.api"),
    **dict.fromkeys(("SwiftError", "UsageError"), "swift_core.contract.errors"),
    **dict.fromkeys(("API_VERSION", "hookimpl"), "swift_core.contract.hookspecs"),
    "Ref": "swift_core.contract.specs",
}

__all__ = ["API_VERSION", "Ref", "SwiftError", "UsageError", "__version__", "hookimpl", "run_server", "run_verb", "use_plugins"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if not name.startswith("_"):
        from swift_core.api import function
        from swift_core.plugins import pip_line

        if found := function(name):
            return found
        if line := pip_line(name.replace("_", "-")):
            raise AttributeError(f"swift_core.{name} is not installed: {line}")
    raise AttributeError(f"module 'swift_core' has no attribute '{name}'")
