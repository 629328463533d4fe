"""What the commands share: the environment that a name means, and sizes for people."""

from __future__ import annotations

from swift_core.environments.find import environment_of
from swift_core.environments.record import Environment, Record
from swift_core.environments.wanted import isolated_entry, wanted
from swift_core.errors import UsageError
from swift_core.registry import Entry, registry

KIND_HELP = "Kind of part (backend, evaluator, …), where two have the name."


def made_for(name: str, kind: str) -> tuple[Environment, Record]:
    """The whole environment of that name.

    Raises:
        UsageError: there is none.
    """
    entry = isolated_entry(registry(), name, kind)
    found = environment_of(entry)
    if found is None or found.record is None or found.state != "whole":
        state = f"; {found.folder.name} can't be used: {found.state}" if found else ""
        raise UsageError(f"there is no environment of '{entry.spec.name}'{state}", where="NAME", hint=f"swift env create {entry.spec.name}")
    return found, found.record


def served(environment: Environment, entry: Entry) -> bool:
    """Whether the environment is what the entry wants on this machine."""
    try:
        return environment.serves(wanted(entry))
    except UsageError:  # its engine does not run here
        return False


def megabytes(size: int) -> str:
    """A size in MB, from a thousand in GB."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
