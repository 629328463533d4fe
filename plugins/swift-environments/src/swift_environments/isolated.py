"""Find a part that may run in an environment of its own (`isolated=True`) by name."""

from __future__ import annotations

from swift_core.contract import Spec, UsageError, suggestion
from swift_core.environments import isolated_entries
from swift_core.plugins import Entry, Registry


def isolated_entry(known: Registry, name: str, kind: str = "") -> Entry[Spec]:
    """Return the spec of that name that can have an environment.

    Args:
        known: the registry of installed plugins.
        name: the spec's name, or another spelling of it.
        kind: its kind; '' for any.

    Raises:
        UsageError: there is no such spec, or several kinds have the name.
    """
    entries = [entry for entry in isolated_entries(known) if kind in ("", entry.spec.kind)]
    found = [entry for entry in entries if name == entry.spec.name or name in entry.spec.also]
    if len(found) == 1:
        return found[0]
    if found:
        kinds = " and ".join(sorted({entry.spec.kind for entry in found}))
        raise UsageError(f"'{name}' is a {kinds}", code="ENV-026", where="NAME", hint="Select one with --kind KIND.")
    if kind:
        known.entry(kind, name)  # raises its own error if the name is unknown
    names = [entry.spec.name for entry in entries]
    hint = suggestion(name, names) or f"Available: {', '.join(names) or 'none (no installed plugin has one)'}."
    raise UsageError(f"there is no part '{name}' that can have its own environment", code="ENV-027", where="NAME", hint=hint)
