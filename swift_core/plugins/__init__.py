"""Finding, loading and asking plugins."""

from __future__ import annotations
