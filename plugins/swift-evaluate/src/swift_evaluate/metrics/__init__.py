"""Metrics: scores of an answer. Each is registered in the entry-point group `swift.metrics`."""

from __future__ import annotations
