"""Shared by the `swift env` commands: look up the environment of a name, and format sizes."""

from __future__ import annotations

from swift_core.contract import Spec, UsageError
from swift_core.plugins import Entry, registry
from swift_environments.isolated import isolated_entry
from swift_environments.lookup import environment_of
from swift_environments.record import Environment, Record
from swift_environments.requirements import environment_spec

KIND_HELP = "Kind of part (backend, evaluator, …), if the name is ambiguous."


def made_for(name: str, kind: str) -> tuple[Environment, Record]:
    """Return the usable environment of a part, and its record.

    Raises:
        UsageError: there is none.
    """
    entry = isolated_entry(registry(), name, kind)
    found = environment_of(entry)
    if found is None or found.record is None or found.state != "ready":
        state = f"; {found.folder.name} is not usable: {found.state}" if found else ""
        hint = f"Create it: swift env create {entry.spec.name}"
        raise UsageError(f"there is no environment for '{entry.spec.name}'{state}", code="ENV-009", where="NAME", hint=hint)
    return found, found.record


def served(environment: Environment, entry: Entry[Spec]) -> bool:
    """Return whether the environment meets the requirements of the entry on this machine."""
    try:
        return environment.serves(environment_spec(entry))
    except UsageError:  # its engine does not run here
        return False


def megabytes(size: int) -> str:
    """Format a number of bytes in MB, or in GB from 1000 MB on."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
