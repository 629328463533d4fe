"""Find the Python that has the engine of a spec: one that the user named, the running one, or that of its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from swift_core.contract import Spec, SwiftError, UsageError
from swift_core.environments import own_code
from swift_core.environments.inspect import look
from swift_core.environments.record import Environment, environments
from swift_core.environments.requirements import engine_distribution, isolated_entry, wanted
from swift_core.plugins import Entry, Registry, engines
from swift_core.system import locked


class EngineAbsent(UsageError):
    """The engine of `entry` is not installed in any environment, but one can be created for it."""

    def __init__(self, entry: Entry[Spec], missing: tuple[str, ...], broken: Environment | None = None) -> None:
        spec = entry.spec
        found = f"; {broken.folder.name} is not usable: {broken.state}" if broken else ""
        few = f"{', '.join(missing[:3])}{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}"
        super().__init__(
            f"the engine of the {spec.kind} '{spec.name}' is not installed here (missing: {few}){found}",
            where=spec.kind,
            hint=f"Create an environment for it: swift env create {spec.name}; or name an existing one: "
            f"envs: {{{spec.name}: /path/to/bin/python}}.",
        )
        self.entry = entry
        self.missing = missing


def python_for(entry: Entry[Spec], envs: Mapping[str, str]) -> str:
    """Return the interpreter that has the engine; '' for the running one.

    Args:
        entry: the spec whose engine is needed.
        envs: the user's own environments, name → interpreter; they take precedence.

    Raises:
        EngineAbsent: there is no environment with the engine, but one can be created.
        UsageError: the user's environment lacks the engine, or the engine does not support this machine.
    """
    spec = entry.spec
    if named := next((envs[name] for name in (spec.name, *spec.also) if name in envs), ""):
        return str(_named(entry, Path(named).expanduser()))
    state = engines.engine_state(spec, entry.plugin.distribution)
    if state.present:
        return ""
    if engines.engine_for(spec) is None:
        raise UsageError(f"the engine of the {spec.kind} '{spec.name}' is not installed here", where=spec.kind, hint=state.hint)
    made = environment_of(entry)
    if made is None or made.state != "ready":
        raise EngineAbsent(entry, state.missing, made)
    refresh(made, entry)
    return str(made.python)


def check_names(envs: Mapping[str, str], known: Registry, where: Callable[[str], str]) -> None:
    """Check that every name in `envs` is that of a part which can have an environment.

    Args:
        envs: name → interpreter.
        known: the registry of installed plugins.
        where: returns the place of a dotted option path, for errors.

    Raises:
        UsageError: a name is unknown.
    """
    for name in envs:
        try:
            isolated_entry(known, name)
        except UsageError as error:
            raise UsageError(error.message, where=where(f"envs.{name}"), hint=error.hint) from None


def environment_of(entry: Entry[Spec]) -> Environment | None:
    """Return the environment that was created for the spec: a usable one if there is one, else an unusable one, else None."""
    made = [each for each in environments() if each.record and each.record.wanted.distribution == entry.plugin.distribution]
    if not made:
        return None  # saves the computation of the requirements, which is slow
    required = wanted(entry)
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


def _named(entry: Entry[Spec], python: Path) -> Path:
    where = f"envs.{entry.spec.name}"
    if not python.is_file():
        raise UsageError(f"there is no '{python}'", where=where, hint="Name the interpreter of the environment: /opt/vllm/bin/python.")
    try:
        there = look(python).versions
    except SwiftError as error:
        raise UsageError(f"'{python}' is not a working Python: {error.message}", where=where, hint="Name an interpreter.") from None
    from packaging.utils import canonicalize_name

    names = sorted({engine_distribution(engine) for engine in entry.spec.engines})
    if not any(canonicalize_name(name) in there for name in names):
        hint = f"Install it there, or create an environment: swift env create {entry.spec.name}"
        raise UsageError(f"the environment of '{python}' has no {' or '.join(names)}", where=where, hint=hint)
    return python.absolute()
