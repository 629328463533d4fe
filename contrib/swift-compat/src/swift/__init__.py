"""`from swift import get_model`: swift-core under the name that code written for ms-swift imports."""

from __future__ import annotations

from swift_core import ask, fetch, get_model, merge, pretrain, serve, sft, train

__all__ = ["ask", "fetch", "get_model", "merge", "pretrain", "serve", "sft", "train"]
