"""Entry points of the installed distributions, read once and kept until something is installed or removed.

Reading the metadata of every distribution takes longer than all else that `swift --help` does, and grows with each that is installed. So
what a folder of `sys.path` has is kept with the folder's time of change, which installing and removing move.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from swift_core.system import paths

VERBS = "swift.verbs"
FOREIGN = "swift.foreign_commands"  # functions that answer command lines of other programs
GROUPS = ("swift.plugins", VERBS, "swift.commands", "swift.commands.plugins", "swift.alone", FOREIGN)
_SETTLED = 2.0  # seconds: a folder that changed just now may be in the middle of an installation, so it is not kept


@dataclass(frozen=True, slots=True)
class Point:
    """An entry point, and the distribution it belongs to."""

    group: str  # the entry-point group
    name: str  # of the entry point
    value: str  # module, or module:attribute
    distribution: str  # the distribution
    version: str  # of the distribution
    summary: str = ""  # of a verb or command, from the source
    also: tuple[str, ...] = ()  # other names of a verb

    def load(self) -> Any:
        """Import what it names: a module, or an attribute of one."""
        module, _, attributes = self.value.partition(":")
        found: Any = importlib.import_module(module.strip())
        for name in filter(None, attributes.split(".")):
            found = getattr(found, name.strip())
        return found


def names_in(variable: str) -> set[str] | None:
    """Return the names in an environment variable, separated by commas; None if it is not set."""
    value = os.environ.get(variable)
    return None if value is None else {name.strip() for name in value.split(",") if name.strip()}


def blocked() -> set[str]:
    """Return the plugins and commands that SWIFT_BLOCK_PLUGINS leaves out."""
    return names_in("SWIFT_BLOCK_PLUGINS") or set()


def entry_points(group: str) -> list[Point]:
    """Return the entry points of one of our groups, in the order of `sys.path`; of two distributions with one name the first counts."""
    file = paths.cache_dir("entry-points-4.json")
    known, fresh = _read(file), {}
    points: list[Point] = []
    owners: dict[str, str] = {}  # distribution → the folder that has it
    for folder in dict.fromkeys(os.path.abspath(place) for place in sys.path):
        try:
            changed = os.stat(folder).st_mtime_ns
        except OSError:
            continue
        kept = known.get(folder)
        if kept and kept["changed"] == changed:
            here = [Point(**{**item, "also": tuple(item["also"])}) for item in kept["points"]]
        else:
            here, any_at_all = _scan(folder) if _may_have_any(folder) else ([], False)
            if any_at_all and time.time() - changed / 1e9 > _SETTLED:
                fresh[folder] = {"changed": changed, "points": [asdict(point) for point in here]}
        points += [point for point in here if owners.setdefault(_canonical(point.distribution), folder) == folder]
    if fresh:
        with suppress(Exception):  # a cache that can't be written costs time, not the answer
            paths.write_json(file, {folder: kept for folder, kept in known.items() if os.path.isdir(folder)} | fresh)
    return [point for point in points if point.group == group]


def _read(file: os.PathLike[str]) -> dict[str, Any]:
    try:
        with open(file, encoding="utf-8") as opened:
            return dict(json.load(opened))
    except (OSError, ValueError):
        return {}


def _may_have_any(folder: str) -> bool:
    """Return whether a folder may hold distributions, without importlib.metadata: most folders of `sys.path` are sources."""
    try:
        return any(name.endswith((".dist-info", ".egg-info")) for name in os.listdir(folder))
    except OSError:
        return True  # an archive


def _scan(folder: str) -> tuple[list[Point], bool]:
    """Return the metadata of the distributions in a folder, and whether it holds any."""
    from importlib.metadata import Distribution

    found: dict[str, list[Point]] = {}
    distributions = list(Distribution.discover(path=[folder]))
    for distribution in distributions:
        ours = [point for point in distribution.entry_points if point.group in GROUPS]
        if ours:
            points = [_described(Point(point.group, point.name, point.value, distribution.name, distribution.version)) for point in ours]
            found.setdefault(_canonical(distribution.name), points)
    return [point for points in found.values() for point in points], bool(distributions)


def _described(point: Point) -> Point:
    """Return the point with its summary."""
    if point.group in (GROUPS[0], FOREIGN):
        return point
    from swift_core.plugins import summaries

    module = point.value.partition(":")[0].strip()
    found = summaries.of_verb(module, point.name) if point.group == VERBS else summaries.of_command(module)
    return replace(point, summary=found.text, also=found.also)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
