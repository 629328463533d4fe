"""Names that several installed plugins answer to: of parts, of hubs' schemes, of files' suffixes, and of commands.

None is settled in silence. What is ours stays ours; of the others, who types the name is asked which one is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from swift_core.registry import HOOKS, Entry, Registry


@dataclass(frozen=True, slots=True)
class Clash:
    """A name of a kind (`tuner`, `scheme`, `suffix`, `command`), who offers it, and which of them is first-party ('': none).

    What is `typed` means nothing until the user says whose; the rest stays with the first-party owner.
    """

    kind: str
    name: str
    owners: tuple[str, ...]
    home: str = ""
    typed: bool = True

    def __str__(self) -> str:
        offered = f"the {self.kind} {self.name} is offered by {' and '.join(self.owners)}"
        if not self.typed:
            return f"{offered}: {f'that of {self.home}' if self.home else 'neither'} is meant"
        stays = f"a default stays {self.home}'s; " if self.home else ""
        return f"{offered}: {stays}to name it, type DISTRIBUTION/{self.name}"


def clashes(known: Registry) -> list[Clash]:
    """All of them, by kind and name."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for kind in HOOKS:
        for entry in known.entries(kind):
            for key in dict.fromkeys(_names(kind, entry)):
                found.setdefault(key, []).append(entry)
    parts = [
        Clash(kind, name, owners, entries[0].plugin.distribution if entries[0].first_party else "", typed=kind in HOOKS)
        for (kind, name), entries in found.items()
        if len(owners := tuple(dict.fromkeys(entry.plugin.distribution for entry in entries))) > 1
    ]
    return sorted([*parts, *_commands()], key=lambda clash: (clash.kind, clash.name))


def _names(kind: str, entry: Entry) -> Iterator[tuple[str, str]]:
    for name in (entry.spec.name, *entry.spec.also):
        yield kind, name
    for scheme in getattr(entry.spec, "schemes", ()):
        yield "scheme", f"{scheme}:"
    for suffix in getattr(entry.spec, "suffixes", ()):
        yield "suffix", suffix


def _commands() -> Iterator[Clash]:
    from swift_core.cli import is_ours
    from swift_core.cli.plugin_commands import offers

    homes: dict[str, list[str]] = {}
    for offer in offers():
        homes.setdefault(offer.name, ["swift-core"] if is_ours(offer.name) else []).append(offer.point.distribution)
    for name, owners in homes.items():
        if len(owners) > 1:
            yield Clash("command", name, tuple(owners), "swift-core" if is_ours(name) else "", typed=not is_ours(name))
