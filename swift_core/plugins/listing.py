"""The verbs and commands that `swift --help` lists, from package metadata and local files alone."""

from __future__ import annotations

import os
from dataclasses import dataclass

from swift_core.plugins import commands, local
from swift_core.plugins.metadata import Point, entry_points

VERBS = "swift.verbs"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list."""

    name: str
    summary: str
    also: tuple[str, ...] = ()


def lines() -> list[Line]:
    """Return the verbs, then the other commands, each by name."""
    found = [Line(point.name, _summary(point), point.also) for point in _verbs()] + _local_verbs()
    named = {line.name for line in found}
    for offer in commands.commands_offered():
        homes = [other.place for other in commands.commands_offered() if other.name == offer.name and not other.first_party]
        if offer.name not in named:
            named.add(offer.name)
            found.append(Line(offer.name, _summary(offer.point) + (f"; write DISTRIBUTION/{offer.name}" if homes[1:] else "")))
    return found


def is_verb(name: str) -> bool:
    """Return whether metadata has a verb of that name, which takes precedence over a command of the same name."""
    return any(name == point.name or name in point.also for point in _verbs())


def _verbs() -> list[Point]:
    blocked = {name.strip() for name in os.environ.get("SWIFT_BLOCK_PLUGINS", "").split(",")}
    plugins = {(point.distribution, point.value): point.name for point in entry_points("swift.plugins")}
    points = [point for point in entry_points(VERBS) if plugins.get((point.distribution, point.value)) not in blocked]
    return sorted({point.name: point for point in points}.values(), key=lambda point: point.name)


def _local_verbs() -> list[Line]:
    """Return the verbs of the files that the user has named; those are loaded already."""
    if not local.local_plugins():
        return []
    from swift_core.contract import VerbSpec
    from swift_core.plugins.registered import registry

    return [
        Line(entry.spec.name, entry.spec.summary, entry.spec.also)
        for kind in {"verb", *(spec.each for spec in registry().all(VerbSpec) if spec.each)}
        for entry in registry().entries(kind)
        if entry.plugin.local
    ]


def _summary(point: Point) -> str:
    return point.summary or f"From {point.distribution}"
