"""Create and manage Python environments for engines that can't be installed beside each other; the commands `swift env …`."""

from __future__ import annotations
