"""Making an environment: whole, or not at all.

A virtual environment can't be moved, so it is built where it stays, under a claim, and its stamp is written last. Whatever fails before
that takes the folder away again; a killed process leaves a folder without a stamp, which the next one replaces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from swift_core import paths
from swift_core.environments import interpreters, lockfile, own_code
from swift_core.environments.claim import claim
from swift_core.environments.inside import look
from swift_core.environments.installer import installer, own_settings
from swift_core.environments.interpreters import Interpreter
from swift_core.environments.process import Work
from swift_core.environments.record import STAMP, Environment, Record, clear, environments, size_of
from swift_core.environments.wanted import Wanted
from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Watch

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `create` will do: what is wanted, the Python it gets, and the exact versions if they are locked."""

    wanted: Wanted
    interpreter: Interpreter
    constraint: Path | None = None
    locked: lockfile.Locked | None = None

    @property
    def folder(self) -> Path:
        """Where the environment will be: the one that another spec on the same engine has, where there is one."""
        minor = self.interpreter.version.split(".")[:2]
        for each in environments():
            if each.record and each.state == "whole" and each.serves(self.wanted) and each.record.python.split(".")[:2] == minor:
                return each.folder
        return self.wanted.folder(self.interpreter.version)


def plan(wanted: Wanted, *, python: Path | None = None, constraint: Path | None = None, locked: Path | None = None) -> Plan:
    """Settle everything that can be wrong before a file is written.

    Raises:
        UsageError: no Python fits, or a file is missing or meant for something else.
    """
    if constraint is not None and not constraint.is_file():
        raise UsageError(f"there is no file '{constraint}'", where="--constraint", hint="Check the path.")
    lock = lockfile.read(locked, wanted) if locked else None
    specifier = ",".join(filter(None, (wanted.python, f"=={lock.python}.*" if lock else "")))
    return Plan(wanted, interpreters.choose(specifier, python), constraint.resolve() if constraint else None, lock)


def create(todo: Plan, *, watch: Watch | None = None, note: Note = lambda text: None) -> Environment:
    """Make the environment, or find that it is there already.

    Raises:
        UsageError: it is there with other versions than the locked ones.
        SwiftError: it could not be made; the reason is the installer's own, and nothing but its log is left.
    """
    folder = todo.folder
    with claim(folder, lambda: note(f"another process is making {folder.name}: waiting for it")) as claimed:
        there = Environment.at(folder)
        if there.record and there.state == "whole":
            _same_versions(todo, there.record)
            own_code.install(own_code.distributions(todo.wanted.distribution), folder, Path(there.record.site_packages))
            return there
        if folder.exists():
            note(f"{folder.name} can't be used ({there.state}): it is made anew")
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
    wanted, folder = todo.wanted, todo.folder
    begin = time.monotonic()
    tool = installer()
    work.run(tool.venv(todo.interpreter.path, folder))
    python = Environment(folder, None).python
    own_settings(folder)
    extra = [*(["--extra-index-url", wanted.index] if wanted.index else []), *(["-c", str(todo.constraint)] if todo.constraint else [])]
    if todo.locked:
        work.run(tool.install(python, [*extra, "--no-deps", *_list(folder, "locked.txt", todo.locked.freeze)]))
    else:
        work.run(tool.install(python, [*extra, *_list(folder, "requirements.txt", wanted.requirements)]))
        if wanted.no_deps:
            work.run(tool.install(python, [*extra, "--no-deps", *_list(folder, "no_deps.txt", wanted.no_deps)]))
    ours = own_code.distributions(wanted.distribution)
    own_code.install(ours, folder, Path(look(python).site_packages))
    found = look(python)
    if unmet := [f"{wish} (there: {there or 'nothing'})" for wish, there in found.unmet((*wanted.requirements, *wanted.no_deps))]:
        where = str(todo.locked.path if todo.locked else folder)
        raise SwiftError(f"what was installed is not what is wanted: {', '.join(unmet)}", where=where, hint="Lock it anew.")
    record = Record(
        wanted=wanted,
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
    """The arguments that install from a list, which is kept in the environment."""
    path = folder / name
    paths.write_text(path, "".join(f"{line}\n" for line in requirements))
    return ["-r", str(path)]


def _same_versions(todo: Plan, record: Record) -> None:
    if todo.locked and set(todo.locked.freeze) != set(record.freeze):
        differ = sorted(set(todo.locked.freeze) - set(record.freeze)) or sorted(set(record.freeze) - set(todo.locked.freeze))
        raise UsageError(
            f"the environment is there already, with other versions than the locked ones: {', '.join(differ[:5])}",
            where=str(todo.locked.path),
            hint=f"swift env remove {todo.wanted.name} makes room for it.",
        )
