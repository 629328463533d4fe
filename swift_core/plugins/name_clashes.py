"""Name clashes: part names, hub schemes, file suffixes and commands that several installed plugins offer.

No clash is resolved silently. A first-party name keeps its owner; any other name has to be qualified by the user who types it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from swift_core.contract import DatasetSpec, HubSpec, Named
from swift_core.plugins import listing
from swift_core.plugins.listing import Line
from swift_core.plugins.registered import KINDS, Entry, Registry


@dataclass(frozen=True, slots=True)
class Clash:
    """A name that several distributions offer.

    Attributes:
        kind: what is named: a kind of part (`tuner`), `scheme`, `suffix` or `command`.
        name: the name itself.
        owners: the distributions that offer it.
        home: the first-party distribution among them; '' if there is none.
        typed: whether users type the name, and so must qualify it; otherwise the first-party owner keeps it.
    """

    kind: str
    name: str
    owners: tuple[str, ...]
    home: str = ""
    typed: bool = True

    def __str__(self) -> str:
        offered = f"the {self.kind} {self.name} is offered by {' and '.join(self.owners)}"
        if not self.typed:
            return f"{offered}: {f'{self.home} is used' if self.home else 'none of them is used'}"
        default = f"defaults use {self.home}; " if self.home else ""
        return f"{offered}: {default}select one with DISTRIBUTION/{self.name}"


def clashes(known: Registry) -> list[Clash]:
    """Return all name clashes, sorted by kind and name."""
    found: dict[tuple[str, str], list[Entry[Named]]] = {}
    for kind, spec in KINDS.items():
        for entry in known.entries(spec):
            for key in dict.fromkeys(_names(kind, entry)):
                found.setdefault(key, []).append(entry)
    parts = [
        _of(kind, name, owners, entries[0].plugin.distribution if entries[0].first_party else "")
        for (kind, name), entries in found.items()
        if len(owners := tuple(dict.fromkeys(entry.plugin.distribution for entry in entries))) > 1
    ]
    return sorted([*parts, *_commands()], key=lambda clash: (clash.kind, clash.name))


def _of(kind: str, name: str, owners: tuple[str, ...], home: str) -> Clash:
    return Clash(kind, name, owners, home, typed=kind in KINDS and not (kind == "verb" and home))  # a first-party verb keeps its name


def _names(kind: str, entry: Entry[Named]) -> Iterator[tuple[str, str]]:
    for name in (entry.spec.name, *entry.spec.also):
        yield kind, name
    if isinstance(entry.spec, HubSpec):
        yield from (("scheme", f"{scheme}:") for scheme in entry.spec.schemes)
    if isinstance(entry.spec, DatasetSpec):
        yield from (("suffix", suffix) for suffix in entry.spec.suffixes)


def _commands() -> Iterator[Clash]:
    """Yield the clashes of commands with each other and with verbs."""
    homes: dict[str, list[Line]] = {}
    for line in [*listing.command_lines(), *listing.verb_lines()]:
        for name in (line.name, *line.also):
            homes.setdefault(name, []).append(line)
    for name, found in homes.items():
        owners = dict.fromkeys(line.home for line in sorted(found, key=lambda line: not line.first_party))
        if len(owners) > 1 and not all(line.verb for line in found):
            default = next((line.home for line in found if line.first_party), "")
            yield Clash("command", name, tuple(owners), default, typed=not default)
