"""Find the Python that has the engine of a spec: one that the user named, the running one, or that of its environment.

Environments are made by plugins, which answer the hook `swift_environment`.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from swift_core.contract import ISOLATABLE, EngineEnvironment, Spec, UsageError, suggestion
from swift_core.plugins import Entry, Registry, engines, pip_line, registry


class EngineAbsent(UsageError):
    """The engine of `entry` is not installed in any environment, but one can be created for it."""

    def __init__(self, entry: Entry[Spec], missing: tuple[str, ...], found: EngineEnvironment) -> None:
        spec = entry.spec
        problem = f"; {found.problem}" if found.problem else ""
        few = f"{', '.join(missing[:3])}{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}"
        super().__init__(
            f"the engine of the {spec.kind} '{spec.name}' is not installed here (missing: {few}){problem}",
            code="ENV-028",
            where=spec.kind,
            hint=f"Create an environment for it: {' '.join(found.create)}; or name an existing one: "
            f"envs: {{{spec.name}: /path/to/bin/python}}.",
        )
        self.entry = entry
        self.missing = missing
        self.create = found.create


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
        raise UsageError(
            f"the engine of the {spec.kind} '{spec.name}' is not installed here", code="ENV-029", where=spec.kind, hint=state.hint
        )
    found = environment_of(entry, update=True)
    if not found.python:
        raise EngineAbsent(entry, state.missing, found)
    return found.python


def environment_of(entry: Entry[Spec], *, update: bool = False) -> EngineEnvironment:
    """Return the environment with the engine of a spec: the first usable one that a plugin has.

    Args:
        entry: the spec whose engine is needed.
        update: whether a run will use the environment, so that the running code in it must be up to date.
    """
    arguments = {"spec": entry.spec, "distribution": entry.plugin.distribution, "update": update}
    answers = [found for _, found in registry().plugins.ask("swift_environment", **arguments) if found]
    usable = next((found for found in answers if found.python), None)
    return usable or next(iter(answers), EngineEnvironment(create=tuple(shlex.split(pip_line("env")))))


def isolated_entries(known: Registry) -> list[Entry[Spec]]:
    """Return all parts that can have an environment of their own."""
    return [entry for kind in sorted(ISOLATABLE) for entry in known.entries(kind) if entry.spec.isolated]


def check_names(envs: Mapping[str, str], known: Registry, where: Callable[[str], str]) -> None:
    """Check that every name in `envs` is that of a part which can have an environment.

    Args:
        envs: name → interpreter.
        known: the registry of installed plugins.
        where: returns the place of a dotted option path, for errors.

    Raises:
        UsageError: a name is unknown.
    """
    specs = [entry.spec for entry in isolated_entries(known)] if envs else []
    names = {name for spec in specs for name in (spec.name, *spec.also)}
    for name in envs:
        if name not in names:
            hint = suggestion(name, names) or f"Available: {', '.join(sorted(names)) or 'none (no installed plugin has one)'}."
            message = f"there is no part '{name}' that can have its own environment"
            raise UsageError(message, code="ENV-027", where=where(f"envs.{name}"), hint=hint)


def _named(entry: Entry[Spec], python: Path) -> Path:
    """Return the interpreter that the user names, which must have one of the engines of the part."""
    where = f"envs.{entry.spec.name}"
    if not python.is_file():
        raise UsageError(
            f"there is no '{python}'", code="ENV-030", where=where, hint="Name the interpreter of the environment: /opt/vllm/bin/python."
        )
    found = _distributions(python, where)
    names = sorted({engines.engine_distribution(engine) for engine in entry.spec.engines})
    if not any(_canonical(name) in found for name in names):
        hint = f"Install it there, or create an environment: {' '.join(environment_of(entry).create)}"
        raise UsageError(f"the environment of '{python}' has no {' or '.join(names)}", code="ENV-032", where=where, hint=hint)
    return python.absolute()


def _distributions(python: Path, where: str) -> set[str]:
    """Return the canonical names of the distributions in the environment of an interpreter, without importing any of them."""
    code = "from importlib.metadata import distributions; print(*(each.metadata['Name'] for each in distributions()))"
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, errors="replace", timeout=60, check=False)
        last = "".join(done.stderr.strip().splitlines()[-1:])[:300]
        reason = f"it exited with code {done.returncode}: {last or 'no output'}" if done.returncode else ""
    except OSError as error:
        reason = str(error.strerror)
    except subprocess.TimeoutExpired:
        reason = "no answer within 60 seconds"
    if reason:
        raise UsageError(f"'{python}' is not a working Python: {reason}", code="ENV-031", where=where, hint="Name an interpreter.")
    return set(map(_canonical, done.stdout.split()))


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
