"""The contract: hooks, specs, roles, runs, references, errors."""

from __future__ import annotations
