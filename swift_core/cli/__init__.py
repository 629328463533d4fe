"""The command line: the `swift` command, the commands of verbs, progress and messages."""

from __future__ import annotations

from swift_core.system import interrupts  # noqa: F401 (first, so that `python -m swift_core.cli` can be interrupted from here on)

# isort: split
from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
