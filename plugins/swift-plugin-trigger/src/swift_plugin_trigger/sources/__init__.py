"""Sources of events: HTTP, files in a folder, a schedule."""

from __future__ import annotations
