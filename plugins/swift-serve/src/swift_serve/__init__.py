"""Model servers and their clients: the commands serve, ask, infer, adapter and check-parity."""

from __future__ import annotations
