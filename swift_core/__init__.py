"""swift-core: from a language model to a solved problem, with every implementation an installable plugin.

The package imports nothing heavy: names are looked up when they are used. Each installed verb is a function here: `swift_core.sft(…)`.
"""

from __future__ import annotations

from swift_core.lazy import door

_public_name, __dir__ = door(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in __dir__() or name.startswith("_"):
        return _public_name(name)
    from swift_core.api import function
    from swift_core.plugins import pip_line

    if found := function(name):
        return found
    if line := pip_line(name.replace("_", "-")):
        raise AttributeError(f"swift_core.{name} is not installed: {line}")
    return _public_name(name)
