"""Verbs by name: those that plugins offer, and those that the implementations of a part are."""

from __future__ import annotations

import shlex
import tomllib
from importlib import resources

from swift_core.contract import UsageError, VerbSpec, suggestion
from swift_core.plugins.registered import Registry, registry


def verbs(known: Registry | None = None) -> list[VerbSpec]:
    """Return every verb; one whose implementations of a part are verbs too (`VerbSpec.each`) is followed by them."""
    known = known or registry()
    found: list[VerbSpec] = []
    for spec in known.all(VerbSpec):
        found += [spec, *(spec.of(each) for each in known.all(spec.each))] if spec.each else [spec]
    return found


def find_verb(name: str, known: Registry | None = None) -> VerbSpec | None:
    """Return the verb of that name or alias, or None.

    Raises:
        UsageError: two plugins offer it.
    """
    known = known or registry()
    if known.matching(VerbSpec, name):
        return known.entry(VerbSpec, name).spec
    for spec in known.all(VerbSpec):
        if spec.each and (matches := known.matching(spec.each, name)):
            return spec.of(matches[0].spec)
    return None


def verb_named(name: str, *, where: str = "run", known: Registry | None = None) -> VerbSpec:
    """Return the verb of that name or alias.

    Raises:
        UsageError: there is none (with a suggestion), or two plugins offer it.
    """
    known = known or registry()
    if found := find_verb(name, known):
        return found
    names = sorted({spec.name for spec in verbs(known)})
    hint = suggestion(name, names) or (f"Known: {', '.join(names)}." if names else "No installed plugin offers a verb.")
    raise UsageError(f"there is no verb '{name}'", where=where, hint=pip_line(name) or hint)


def pip_line(name: str) -> str:
    """Return the command that installs a first-party verb or command; '' if none is called that."""
    known = tomllib.loads(resources.files("swift_core").joinpath("install.toml").read_text(encoding="utf-8"))
    first, *others = known.get(name, [""])
    return first and f"pip install {shlex.quote(first)}" + (f", or one of: {', '.join(others)}" if others else "")
