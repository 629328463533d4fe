"""`python -m swift_core.cli`."""

from __future__ import annotations

from swift_core.cli import main

main()
