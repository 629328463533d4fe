"""The verbs and commands that `swift --help` lists, from package metadata and local files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from swift_core.plugins import commands, local
from swift_core.plugins.metadata import VERBS, Point, blocked, entry_points
from swift_core.plugins.registered import first_party


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list: a verb or command, its aliases, and the distribution and the plugin that offer it."""

    name: str
    summary: str
    also: tuple[str, ...]
    home: str
    plugin: str
    verb: bool = True

    @property
    def first_party(self) -> bool:
        """True if it comes from a first-party distribution."""
        return self.home in first_party()


def lines() -> list[Line]:
    """Return the verbs, then the other commands, each by name. A name that several offer is listed once."""
    found: dict[str, Line] = {}
    offered = [*verb_lines(), *command_lines()]
    for line in sorted(offered, key=lambda line: (not line.first_party, not line.verb)):  # the one that is used first
        if kept := found.get(line.name):
            if not kept.first_party and kept.home != line.home:
                found[line.name] = replace(kept, summary=f"{kept.summary.partition('; write ')[0]}; write DISTRIBUTION/{line.name}")
        else:
            found[line.name] = line
    return sorted(found.values(), key=lambda line: (not line.verb, line.name))


def verb_lines() -> Iterator[Line]:
    """Yield the verbs: those in metadata, and those of the files that the user has named, which are loaded already."""
    left_out = blocked()
    plugins = {(point.distribution, point.value): point.name for point in entry_points("swift.plugins")}
    for point in entry_points(VERBS):
        plugin = plugins.get((point.distribution, point.value), "")
        if plugin and plugin not in left_out:
            yield _of(point, plugin, point.name, verb=True)
    if local.local_plugins():
        from swift_core.contract import VerbSpec
        from swift_core.plugins.registered import registry

        for kind in {"verb", *(spec.each for spec in registry().all(VerbSpec) if spec.each)}:
            for entry in registry().entries(kind):
                if entry.plugin.local:
                    yield Line(entry.spec.name, entry.spec.summary, entry.spec.also, entry.plugin.distribution, entry.plugin.name)


def command_lines() -> Iterator[Line]:
    """Yield the other commands."""
    return (_of(offer.point, "", offer.name) for offer in commands.commands_offered())


def verb_homes(name: str) -> dict[str, str]:
    """Map the distributions that offer a verb of that name or alias to what is typed in front of it; `distribution/name` selects one."""
    home, _, bare = name.rpartition("/")
    found = [line for line in verb_lines() if bare in (line.name, *line.also) and home in ("", line.home, line.plugin)]
    return {line.home: line.plugin if local.file_of(line.home) else line.home for line in found}


def _of(point: Point, plugin: str, name: str, *, verb: bool = False) -> Line:
    return Line(name, point.summary or f"From {point.distribution}", point.also, point.distribution, plugin, verb)
