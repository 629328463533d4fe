"""References and checkpoints: fetching, formats, manifests, lineage."""

from __future__ import annotations
