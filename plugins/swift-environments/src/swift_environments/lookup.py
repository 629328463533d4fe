"""Find the environment that was created for a spec, and keep the copy of the running code in it up to date."""

from __future__ import annotations

from pathlib import Path

from swift_core.contract import EngineEnvironment, Spec
from swift_core.plugins import Entry
from swift_core.system import locked
from swift_environments import own_code
from swift_environments.record import Environment, environments
from swift_environments.requirements import environment_spec


def find(entry: Entry[Spec], *, update: bool = False) -> EngineEnvironment:
    """Return what the core needs to know of the environment of a spec.

    Args:
        entry: the spec whose engine is needed.
        update: whether a run will use it, so that the running code must be copied into it if it has changed.
    """
    create = ("swift", "env", "create", entry.spec.name)
    found = environment_of(entry)
    if found is None:
        return EngineEnvironment(create=create)
    if found.state != "ready":
        return EngineEnvironment(problem=f"{found.folder.name} is not usable: {found.state}", create=create)
    if update:
        refresh(found, entry)
    return EngineEnvironment(python=str(found.python), create=create)


def environment_of(entry: Entry[Spec]) -> Environment | None:
    """Return the environment that was created for the spec: a usable one if there is one, else an unusable one, else None."""
    made = [each for each in environments() if each.record and each.record.spec.distribution == entry.plugin.distribution]
    if not made:
        return None  # saves the computation of the requirements, which is slow
    required = environment_spec(entry)
    found = [each for each in made if each.serves(required)]
    return next((each for each in found if each.state == "ready"), found[0] if found else None)


def refresh(environment: Environment, entry: Entry[Spec]) -> None:
    """Copy the running swift code into the environment if it has another version."""
    if environment.record is None:
        return
    ours = own_code.distributions(entry.plugin.distribution)
    site_packages = Path(environment.record.site_packages)
    if own_code.current(site_packages) != environment.folder / "own" / own_code.digest(ours):
        with locked(environment.folder):
            own_code.install(ours, environment.folder, site_packages)
