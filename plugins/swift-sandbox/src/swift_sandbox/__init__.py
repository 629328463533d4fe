"""Run untrusted code in isolation: no network, a read-only system, limits on every resource; refused if the isolation does not hold."""

from __future__ import annotations
