"""Collect the checks that apply to a distribution: those of each plugin, of each part by its kind, and of each command."""

from __future__ import annotations

import atexit
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from swift_core.contract import Spec, UsageError, suggestion
from swift_core.plugins import KINDS, PLUGIN_GROUP, Plugins, Registry, commands, local
from swift_testing.kit.causes import report_failure
from swift_testing.kit.model import CHECKS, COMMAND, EVERY, OPTIONS, PART, PLUGIN, Check, CommandSpec, Example, Skip
from swift_testing.kit.probe import Entry, NotImported, probe
from swift_testing.kit.subject import Subject, examples_of

_MODULES = (
    "plugin", "specs", "options", "roles", "families", "formats", "loaders", "tuners", "adapters", "quantizers", "backends", "requests",
    "lifetimes", "datasets", "hubs", "tasks", "losses", "strategies", "exporters", "evaluators", "launchers", "optimizers",
    "callbacks", "sections", "verbs", "commands", "rollouts",
)  # fmt: skip
_open: list[Subject] = []  # the current subject: its folder and server are kept until another one is checked or the process ends


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one subject; call it to run the check."""

    check: Check
    subject: Subject

    @property
    def id(self) -> str:
        """The id of the case: `check_merge[tuner lora]`, or the check's name for a plugin as a whole."""
        return self.check.name if self.subject.spec is None else f"{self.check.name}[{self.subject.label}]"

    def __call__(self) -> None:
        """Run the check; see `Check`. Any other exception fails the check too, since the plugin raised it."""
        if _open != [self.subject]:
            close()
            _open.append(self.subject)
        try:
            self.check(self.subject)
        except Skip:
            raise
        except Exception as error:
            report_failure(self.subject, self.check.name, error)


def close() -> None:
    """Stop and remove what was created for the last subject."""
    while _open:
        _open.pop().close()


atexit.register(close)


def all_checks() -> list[Check]:
    """Return all checks, in the order in which they are run."""
    for name in _MODULES:
        importlib.import_module(f"swift_testing.kit.checks.{name}")
    return CHECKS


def entries_of(distribution: str) -> list[Entry]:
    """Return the plugins and commands of a distribution, from its metadata, or of a local file (FILE.py), without importing them.

    Raises:
        UsageError: the distribution is not installed or has no plugin, or the file does not exist.
    """
    if distribution.endswith(".py"):
        local.use_local_plugins([distribution], where="DISTRIBUTION")
        path = Path(distribution).expanduser().resolve()
        return [Entry(path.stem, path.stem, local.distribution(path), local.version(path))]
    installed = _installed(tuple(sys.path))
    found = [entry for entry in installed if distribution in (entry.distribution, entry.name)]
    if not found:
        names = [word for entry in installed for word in (entry.distribution, entry.name)]
        near = suggestion(distribution, names) or f"Installed: {', '.join(sorted({entry.distribution for entry in installed}))}."
        hint = f"Install it here if it is yours: pip install -e FOLDER. {near}"
        raise UsageError(f"no installed distribution '{distribution}' has a plugin", code="TEST-003", hint=hint)
    return found


@cache
def _installed(path: tuple[str, ...]) -> list[Entry]:
    """Return the plugins and commands of the distributions on sys.path, each once."""
    points = {
        (point.dist.name, group, point.name): Entry(
            point.name, point.value, point.dist.name, point.dist.version, command=group == commands.GROUP
        )
        for group in (PLUGIN_GROUP, commands.GROUP)
        for point in importlib.metadata.entry_points(group=group)
        if point.dist
    }
    return list(points.values())


def cases(entry: Entry, *, environments: bool = False, kinds: Sequence[str] = (), checks: Sequence[str] = ()) -> Iterator[Case]:
    """Yield the checks of a plugin; those of its parts only if the plugin can be imported safely.

    Args:
        entry: the plugin or command.
        environments: whether to run engines that have their own environment here.
        kinds: yield only the checks of these kinds of part; empty for all.
        checks: yield only checks of these names (`check_merge`) or ids (`check_merge[tuner lora]`); empty for all.
    """
    names = frozenset(name.partition("[")[0] for name in checks)
    for case in _every(entry, environments, names, parts=set(kinds) != {PLUGIN} and (not names or bool(names - _names(PLUGIN)))):
        if (not kinds or case.subject.kind in kinds) and (not checks or {case.id, case.check.name} & {*checks}):
            yield case


def _names(kind: str) -> set[str]:
    return {check.name for check in all_checks() if check.kind == kind}


def _every(entry: Entry, environments: bool, names: frozenset[str], *, parts: bool) -> Iterator[Case]:
    if entry.command:
        yield from _of(_command(entry, entry.target), COMMAND)
        return
    yield from _of(Subject(entry), PLUGIN)
    if not parts:  # what probes and imports the plugin
        return
    if not _can_be_imported(entry):
        return
    file = local.file_of(entry.distribution)
    module = local.load(file) if file else importlib.import_module(entry.target)
    found = Plugins()
    found.register(module, entry.name, distribution=entry.distribution)
    known, examples = Registry(found), examples_of(module)
    for kind, offered in KINDS.items():
        for spec in known.all(offered):
            example = examples.get(f"{kind} {spec.name}") or examples.get(spec.name, Example())
            subject = Subject(entry, spec, example, environments, names)
            kinds = ((PART, OPTIONS) if spec.options else (PART,)) if isinstance(spec, Spec) else ()
            yield from _of(subject, EVERY, *kinds, kind)
    for name, target in getattr(module, local.COMMANDS, {}).items() if file else ():
        yield from _of(_command(Entry(name, str(target), entry.distribution, entry.version, command=True), str(target)), COMMAND)


def _can_be_imported(entry: Entry) -> bool:
    """Return whether the plugin can be imported here; a process is started to find out, unless it has been imported already."""
    if entry.target in sys.modules:
        return True
    try:
        return not probe(entry).failure
    except NotImported:
        return False


def _command(entry: Entry, target: str) -> Subject:
    return Subject(entry, CommandSpec(name=entry.name, summary="", target=target))


def _of(subject: Subject, *kinds: str) -> Iterator[Case]:
    return (Case(check, subject) for kind in kinds for check in all_checks() if check.kind == kind)
