"""Verbs by name: those that plugins offer, and those that the implementations of a part are."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources

from swift_core.contract import Named, UsageError, VerbSpec, suggestion
from swift_core.plugins.metadata import GROUPS, VERBS, entry_points
from swift_core.plugins.registered import Entry, Registry, broken, catalogue, registry


def verbs(known: Registry | None = None) -> list[VerbSpec]:
    """Return every verb; one whose implementations of a part are verbs too (`VerbSpec.each`) is followed by them."""
    known = known or registry()
    found: list[VerbSpec] = []
    for spec in known.all(VerbSpec):
        found += [spec, *(spec.of(each) for each in known.all(spec.each))] if spec.each else [spec]
    return found


def find_verb(name: str, known: Registry | None = None) -> VerbSpec | None:
    """Return the verb of that name or alias, or None. A first-party verb keeps its name; `distribution/name` selects one of several.

    Raises:
        UsageError: two plugins offer it.
    """
    known = known or registry()
    home, _, bare = name.rpartition("/")
    found: list[tuple[Entry[Named], VerbSpec]] = [(entry, entry.spec) for entry in known.entries(VerbSpec) if _answers(entry, home, bare)]
    for spec in known.all(VerbSpec):
        for each in known.entries(spec.each) if spec.each else ():
            if _answers(each, home, bare):
                verb = spec.of(each.spec)
                part = {spec.each: f"{home}/{each.spec.name}"} if home else {}
                found.append((each, replace(verb, parts={**verb.parts, **part})))
    found = [item for item in found if item[0].first_party] or found
    found = [item for item in found if item[1].name == bare] or found
    if len(found) > 1:
        raise clash("verb", bare, [(entry.plugin.distribution, entry.plugin.label) for entry, _ in found])
    return None if not found else replace(found[0][1], name=f"{home}/{found[0][1].name}") if home else found[0][1]


def _answers(entry: Entry[Named], home: str, name: str) -> bool:
    return name in (entry.spec.name, *entry.spec.also) and home in ("", entry.plugin.name, entry.plugin.distribution)


def verb_named(name: str, *, where: str = "run", known: Registry | None = None) -> VerbSpec:
    """Return the verb of that name or alias.

    Raises:
        UsageError: there is none (with a suggestion), its plugin is broken, or two plugins offer it.
    """
    known = known or registry()
    if found := find_verb(name, known):
        return found
    raise unknown("verb", name, {spec.name for spec in verbs(known)}, known, where=where)


def pip_line(name: str) -> str:
    """Return the command that installs a first-party verb or command; '' if none is called that."""
    known = tomllib.loads(resources.files("swift_core").joinpath("install.toml").read_text(encoding="utf-8"))
    first, *others = known.get(name, [""])
    return first and f"pip install {shlex.quote(first)}" + (f", or one of: {', '.join(others)}" if others else "")


def clash(kind: str, name: str, owners: Iterable[tuple[str, str]]) -> UsageError:
    """Return the error of a name that several offer; `owners` are their distributions, each with what is typed in front of the name."""
    homes, labels = zip(*sorted(owners), strict=True)
    words = " or ".join(f"swift {label}/{name}" for label in labels)
    return UsageError(
        f"two plugins offer the {kind} '{name}': {' and '.join(homes)}", code="PLUGIN-026", where="", hint=f"Select one: {words}."
    )


def unknown(kind: str, name: str, names: Iterable[str], known: Registry, *, where: str = "") -> UsageError:
    """Return the error of a verb or command that is not found: its plugin is broken or left out, not installed, or it does not exist."""
    bare = name.rpartition("/")[2]
    for point in entry_points(VERBS):
        if bare in (point.name, *point.also):
            home = f"{point.distribution} {point.version}"
            plugin = next((item for item in known.plugins.found.values() if item.target == point.value), None)
            if plugin and plugin.failure:
                return broken(kind, bare, plugin, where)
            if plugin is None and point.distribution in known.plugins.left_out.values():
                hint = "SWIFT_LOAD_PLUGINS or SWIFT_BLOCK_PLUGINS excludes it."
                return UsageError(f"the {kind} '{bare}' comes with {home}, which is not loaded", code="PLUGIN-027", where=where, hint=hint)
            if plugin:
                message = f"the {kind} '{bare}' is an entry point of {home}, but its hooks do not offer it"
                return UsageError(message, code="PLUGIN-028", where=where, hint=f"This is a bug in {point.distribution}.")
    names, installed = sorted(names), {point.distribution for group in GROUPS for point in entry_points(group)}
    homes = [catalogue()[part][bare] for part in ("verb", "task", "command") if bare in catalogue().get(part, {})]
    hint = pip_line(bare) if homes and homes[0] not in installed else suggestion(name, names)
    fallback = "swift --help lists them." if names else f"No {kind} is installed."
    return UsageError(f"there is no {kind} '{name}'", code="PLUGIN-029", where=where, hint=hint or fallback)
