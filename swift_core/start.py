"""`swift`, as it is installed: it can be interrupted from its first line on."""

from __future__ import annotations

from swift_core.system import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.arm()
    from swift_core.cli import main as command_line

    command_line()
