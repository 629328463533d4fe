"""Files, processes, signals, hashes."""

from __future__ import annotations
