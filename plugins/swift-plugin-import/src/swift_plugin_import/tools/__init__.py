"""One importer per tool."""

from __future__ import annotations
