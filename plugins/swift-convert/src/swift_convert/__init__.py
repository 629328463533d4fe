"""Convert checkpoints: merge, quantize, export, and verify a result against its source."""

from __future__ import annotations
