"""Servers and their clients: serve, ask, infer, adapter, check-parity."""

from __future__ import annotations
