"""Downloads, package indexes and archives, shared by hub and dataset plugins; the commands `swift fetch` and `swift models`."""

from __future__ import annotations
