"""swift-core: from a language model to a solved problem, with every implementation an installable plugin.

The package imports nothing heavy: names are looked up when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from swift_core.api import ask, chat, export, fetch, get_model, merge, pretrain, quantize, recipe, serve, sft, train
    from swift_core.contract.errors import SwiftError, UsageError
    from swift_core.contract.hookspecs import API_VERSION, hookimpl
    from swift_core.contract.specs import Ref

_API = ("ask", "chat", "export", "fetch", "get_model", "merge", "pretrain", "quantize", "recipe", "serve", "sft", "train")
_HOMES = {
    **dict.fromkeys(_API, "swift_core.api"),
    **dict.fromkeys(("SwiftError", "UsageError"), "swift_core.contract.errors"),
    **dict.fromkeys(("API_VERSION", "hookimpl"), "swift_core.contract.hookspecs"),
    "Ref": "swift_core.contract.specs",
}

__all__ = [
    "API_VERSION", "Ref", "SwiftError", "UsageError", "__version__", "ask", "chat", "export", "fetch", "get_model", "hookimpl", "merge",
    "pretrain", "quantize", "recipe", "serve", "sft", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'swift_core' has no attribute '{name}'")
