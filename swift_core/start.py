"""`swift`, as it is installed: it can be interrupted from its first line on, and its list of commands is printed from a cache.

The cache holds for as long as the folders of `sys.path` do not change, which installing and removing do; so the list costs hardly more
than a start of Python, however many plugins are installed.
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from contextlib import suppress

from swift_core.contract.version import __version__
from swift_core.system import interrupts

_SETTLED = 2.0  # seconds: a folder that changed just now may be in the middle of an installation
_VARIABLES = ("COLUMNS", "LANG", "LC_ALL", "SWIFT_BLOCK_PLUGINS", "SWIFT_LOCAL_PLUGINS")  # what the text depends on, beside the folders


def main() -> None:
    """Run the command line. `swift` alone in a terminal is the command that an installed plugin names (entry points `swift.alone`)."""
    interrupts.arm()
    if not sys.argv[1:] and sys.stdin.isatty() and sys.stdout.isatty():
        from swift_core.plugins import entry_points

        sys.argv += [point.name for point in entry_points("swift.alone")][:1]
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        with suppress(BrokenPipeError):
            sys.stdout.write(_help() + "\n")
            sys.stdout.flush()
            return
        with suppress(OSError):
            sys.stdout.close()
        return
    from swift_core.cli import main as command_line

    command_line()


def _help() -> str:
    home = os.environ.get("SWIFT_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "swift-core")
    file = os.path.join(home, f"help-{zlib.crc32(ascii(sys.path).encode()):08x}.txt")  # one for each environment
    changed = [(path, _changed(path)) for path in sys.path]
    key = ascii([__version__, sys.stdout.encoding, _columns(), *map(os.environ.get, _VARIABLES), *changed]) + "\n"
    with suppress(OSError, ValueError), open(file, encoding="utf-8") as kept:
        if kept.readline() == key:
            return kept.read()
    from pathlib import Path

    from swift_core.cli import help_text
    from swift_core.system import write_text

    text = help_text()
    if time.time() - max(when for _, when in changed) > _SETTLED:
        with suppress(Exception):  # a cache that can't be written costs time, not the answer
            write_text(Path(file), key + text)
    return text


def _changed(path: str) -> float:
    try:
        return os.stat(path or ".").st_mtime
    except OSError:
        return 0.0


def _columns() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 0
