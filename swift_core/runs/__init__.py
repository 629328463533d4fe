"""A run: resolved, carried out by workers, recorded."""

from __future__ import annotations
