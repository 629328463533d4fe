"""Run `kit.importing` in a subprocess with a time limit, since a plugin may hang or exit while it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from swift_testing.kit.importing import Report

LIMIT = 120.0  # seconds; importing a plugin takes milliseconds, but longer on a busy machine


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry point of a plugin or command.

    Attributes:
        name: the name of the entry point.
        target: the module; for a command, with its attribute.
        distribution: the distribution that declares it.
        version: the version of the distribution.
        command: whether it is a command.
    """

    name: str
    target: str
    distribution: str
    version: str = ""
    command: bool = False


class NotImported(Exception):
    """The import did not finish; the message gives the reason."""


def probe(entry: Entry, limit: float | None = None) -> Report:
    """Return the side effects of importing a plugin, with a limit of `limit` seconds; the result is cached.

    Raises:
        NotImported: the import took too long, or ended the process.
    """
    found = _probe(entry, limit or LIMIT)
    if isinstance(found, NotImported):
        raise found
    return found


@cache
def _probe(entry: Entry, limit: float) -> Report | NotImported:
    command = [
        sys.executable,
        "-m",
        "swift_testing.kit.importing",
        entry.name,
        entry.target,
        entry.distribution,
        "command" * entry.command,
    ]
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return NotImported(f"the import did not finish within {limit:.0f} seconds")
    try:
        return Report(**json.loads(done.stdout))
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:]
        return NotImported(f"the import ended the process with exit code {done.returncode}. {' '.join(last)}".strip())
