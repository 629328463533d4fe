"""The evaluator `builtin`: what a checkpoint itself says of rows, without a server."""

from __future__ import annotations
