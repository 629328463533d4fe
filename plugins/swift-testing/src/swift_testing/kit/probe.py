"""Asks `swift_testing.kit.importing` in a process with a time limit, since a plugin may hang, or end the process, at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from swift_testing.kit.importing import Report

LIMIT = 120.0  # seconds; a plugin's module takes milliseconds, but a busy machine may let it wait


@dataclass(frozen=True, slots=True)
class Entry:
    """A plugin's entry point: its name, the module (of a `command` with its attribute), and the distribution that has it."""

    name: str
    target: str
    distribution: str
    version: str = ""
    command: bool = False


class NotImported(Exception):
    """The process did not come to report anything; the text says why."""


def probe(entry: Entry, limit: float | None = None) -> Report:
    """What the plugin did while it was imported, for which it has `limit` seconds; asked once.

    Raises:
        NotImported: it took too long, or ended the process.
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
        return NotImported(f"it was still being imported after {limit:.0f} seconds")
    try:
        return Report(**json.loads(done.stdout))
    except ValueError:
        said = done.stderr.strip().splitlines()[-1:]
        return NotImported(f"it ended the process with code {done.returncode} while it was imported. {' '.join(said)}".strip())
