"""Create an environment atomically: it is complete, or it does not exist.

A virtual environment can't be moved, so it is built in its final place, under a lock, and its record is written last. Any failure before
that removes the folder; a killed process leaves a folder without a record, which the next attempt replaces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from swift_core.contract import SwiftError, UsageError, Watch
from swift_core.system import locked as claim, paths
from swift_environments import freeze, interpreters, own_code
from swift_environments.contents import look
from swift_environments.installers import installer, own_settings
from swift_environments.interpreters import Interpreter
from swift_environments.process import Work
from swift_environments.record import STAMP, Environment, Record, clear, environments, size_of
from swift_environments.requirements import EnvironmentSpec

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of `create`.

    Attributes:
        spec: the requirements.
        interpreter: the Python to create it with.
        constraint: a pip constraints file.
        locked: the exact versions to install, from a lock file.
    """

    spec: EnvironmentSpec
    interpreter: Interpreter
    constraint: Path | None = None
    locked: freeze.Locked | None = None

    @property
    def folder(self) -> Path:
        """The folder of the environment: that of another spec with the same requirements if there is one, else its own."""
        minor = self.interpreter.version.split(".")[:2]
        for each in environments():
            if each.record and each.state == "ready" and each.serves(self.spec) and each.record.python.split(".")[:2] == minor:
                return each.folder
        return self.spec.folder(self.interpreter.version)


def plan(spec: EnvironmentSpec, *, python: Path | None = None, constraint: Path | None = None, locked: Path | None = None) -> Plan:
    """Resolve the interpreter and the lock file, so that every error in them is found before a file is written.

    Args:
        spec: the requirements.
        python: the interpreter that the user chose.
        constraint: a pip constraints file.
        locked: a lock file written by `swift env lock`.

    Raises:
        UsageError: no suitable Python was found, or a file is missing or was written for another environment.
    """
    if constraint is not None and not constraint.is_file():
        raise UsageError(f"there is no file '{constraint}'", code="ENV-001", where="--constraint", hint="Check the path.")
    lock = freeze.read(locked, spec) if locked else None
    specifier = ",".join(filter(None, (spec.python, f"=={lock.python}.*" if lock else "")))
    return Plan(spec, interpreters.choose(specifier, python), constraint.resolve() if constraint else None, lock)


def create(todo: Plan, *, watch: Watch | None = None, note: Note = lambda text: None) -> Environment:
    """Create the environment, or return it if it exists already.

    Args:
        todo: what to create.
        watch: receives progress events.
        note: receives sentences for the user.

    Raises:
        UsageError: it exists with other versions than the locked ones.
        SwiftError: the installation failed; the message is the installer's, and only its log is left.
    """
    folder = todo.folder
    with claim(folder, lambda: note(f"another process is creating {folder.name}: waiting for it")) as claimed:
        existing = Environment.at(folder)
        if existing.record and existing.state == "ready":
            _same_versions(todo, existing.record)
            own_code.install(own_code.distributions(todo.spec.distribution), folder, Path(existing.record.site_packages))
            return existing
        if folder.exists():
            note(f"{folder.name} is not usable ({existing.state}): creating it again")
        clear(folder)
        work = Work(folder, claimed, watch)
        try:
            _build(todo, work)
        except BaseException as error:
            clear(folder)
            work.keep_log()
            if isinstance(error, OSError):
                raise paths.disk_error(error, folder) from error
            raise
    return Environment.at(folder)


def _build(todo: Plan, work: Work) -> None:
    spec, folder = todo.spec, todo.folder
    begin = time.monotonic()
    tool = installer()
    work.run(tool.venv(todo.interpreter.path, folder))
    python = Environment(folder, None).python
    own_settings(folder)
    extra = [*(["--extra-index-url", spec.index] if spec.index else []), *(["-c", str(todo.constraint)] if todo.constraint else [])]
    if todo.locked:
        work.run(tool.install(python, [*extra, "--no-deps", *_list(folder, "locked.txt", todo.locked.freeze)]))
    else:
        work.run(tool.install(python, [*extra, *_list(folder, "requirements.txt", spec.requirements)]))
        if spec.no_deps:
            work.run(tool.install(python, [*extra, "--no-deps", *_list(folder, "no_deps.txt", spec.no_deps)]))
    ours = own_code.distributions(spec.distribution)
    own_code.install(ours, folder, Path(look(python).site_packages))
    found = look(python)
    required = (*spec.requirements, *spec.no_deps)
    if unmet := [f"{requirement} (installed: {installed or 'nothing'})" for requirement, installed in found.unmet(required)]:
        where = str(todo.locked.path if todo.locked else folder)
        hint = "Write the lock file again with swift env lock." if todo.locked else "Check the constraints and the index in use."
        raise SwiftError(f"the installed packages don't meet the requirements: {', '.join(unmet)}", code="ENV-002", where=where, hint=hint)
    record = Record(
        spec=spec,
        python=found.python,
        base=found.base,
        site_packages=found.site_packages,
        builder=tool.version(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 1),
        size=size_of(folder),
        freeze=found.freeze(own_code.versions(ours)),
        ours=own_code.versions(ours),
    )
    paths.write_json(folder / STAMP, record.to_json())


def _list(folder: Path, name: str, requirements: tuple[str, ...]) -> list[str]:
    """Write a requirements file into the environment and return the installer arguments that read it."""
    path = folder / name
    paths.write_text(path, "".join(f"{line}\n" for line in requirements))
    return ["-r", str(path)]


def _same_versions(todo: Plan, record: Record) -> None:
    if todo.locked and set(todo.locked.freeze) != set(record.freeze):
        differ = sorted(set(todo.locked.freeze) - set(record.freeze)) or sorted(set(record.freeze) - set(todo.locked.freeze))
        raise UsageError(
            f"the environment exists already, with other versions than the locked ones: {', '.join(differ[:5])}",
            code="ENV-003",
            where=str(todo.locked.path),
            hint=f"Remove it first: swift env remove {todo.spec.name}",
        )
