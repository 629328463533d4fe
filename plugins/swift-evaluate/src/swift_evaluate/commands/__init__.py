"""The command `swift eval`, and the commands below it."""

from __future__ import annotations
