"""Checkpoint to checkpoint: merge, quantize, export, and the comparison of a result with its source."""

from __future__ import annotations
