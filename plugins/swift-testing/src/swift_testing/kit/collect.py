"""Which checks a distribution must pass: for each of its plugins, those of plugins; for each part, those of its kind; for each command."""

from __future__ import annotations

import atexit
import importlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swift_core.cli import plugin_commands
from swift_core.contract.errors import UsageError, suggestion
from swift_core.contract.specs import Spec
from swift_core.plugins import local
from swift_core.plugins.loader import GROUP, Plugins
from swift_core.plugins.registry import HOOKS, Registry
from swift_testing.kit.causes import tell
from swift_testing.kit.model import CHECKS, COMMAND, EVERY, OPTIONS, PART, PLUGIN, Check, CommandSpec, Example, Skip
from swift_testing.kit.probe import Entry, NotImported, probe
from swift_testing.kit.subject import Subject, examples_of

_MODULES = (
    "plugin", "specs", "options", "roles", "families", "loaders", "tuners", "adapters", "quantizers", "backends", "requests", "lifetimes",
    "datasets", "hubs", "tasks", "losses", "strategies", "exporters", "evaluators", "launchers", "optimizers", "commands",
)  # fmt: skip
_open: list[Subject] = []  # the subject that was looked at last: what it has started runs until another is, or the process ends


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one subject; calling it does it."""

    check: Check
    subject: Subject

    @property
    def id(self) -> str:
        """`check_merge[tuner lora]`, or the check's name for a plugin as a whole."""
        return self.check.name if self.subject.spec is None else f"{self.check.name}[{self.subject.label}]"

    def __call__(self) -> None:
        """Do it; see `Check`. A fault that is no CheckFailed fails it too: it is the plugin's."""
        if _open != [self.subject]:
            close()
            _open.append(self.subject)
        try:
            self.check(self.subject)
        except Skip:
            raise
        except Exception as error:
            tell(self.subject, self.check.name, error)


def close() -> None:
    """Stop and remove what was made for the last subject, whichever of its checks were done."""
    while _open:
        _open.pop().close()


atexit.register(close)


def all_checks() -> list[Check]:
    """Every check there is, in the order in which they are done."""
    for name in _MODULES:
        importlib.import_module(f"swift_testing.kit.checks.{name}")
    return CHECKS


def entries_of(distribution: str) -> list[Entry]:
    """The plugins and commands of a distribution, from its metadata, or those of a local file (FILE.py): nothing of it is imported.

    Raises:
        UsageError: it is not installed, or has none; there is no such file.
    """
    if distribution.endswith(".py"):
        local.use([distribution], where="DISTRIBUTION")
        path = Path(distribution).expanduser().resolve()
        return [Entry(path.stem, path.stem, local.distribution(path), local.version(path))]
    points = {
        (point.dist.name, group, point.name): Entry(
            point.name, point.value, point.dist.name, point.dist.version, command=group == plugin_commands.GROUP
        )
        for group in (GROUP, plugin_commands.GROUP)
        for point in importlib.metadata.entry_points(group=group)
        if point.dist
    }
    found = [entry for entry in points.values() if distribution in (entry.distribution, entry.name)]
    if not found:
        names = [word for home, _, name in points for word in (home, name)]
        near = suggestion(distribution, names) or f"Installed: {', '.join(sorted({home for home, _, _ in points}))}."
        hint = f"Is it installed here? In its folder: pip install -e . {near}"
        raise UsageError(f"no plugin comes with '{distribution}'", hint=hint)
    return found


def cases(entry: Entry, *, environments: bool = False) -> Iterator[Case]:
    """The checks of a plugin. Those of its parts are given only if it can be imported without harm.

    `environments`: try engines too that have an environment of their own here.
    """
    if entry.command:
        yield from _of(_command(entry, entry.target), COMMAND)
        return
    yield from _of(Subject(entry), PLUGIN)
    try:
        if probe(entry).failure:
            return
    except NotImported:
        return
    file = local.file_of(entry.distribution)
    module = local.load(file) if file else importlib.import_module(entry.target)
    found = Plugins()
    found.register(module, entry.name, distribution=entry.distribution)
    known, examples = Registry(found), examples_of(module)
    for kind in HOOKS:
        for spec in known.all(kind):
            subject = Subject(entry, spec, examples.get(spec.name, Example()), environments)
            kinds = (PART, OPTIONS) if getattr(spec, "options", None) else (PART,) if isinstance(spec, Spec) else ()
            yield from _of(subject, EVERY, *kinds, kind)
    for name, target in getattr(module, local.COMMANDS, {}).items() if file else ():
        yield from _of(_command(Entry(name, str(target), entry.distribution, entry.version, command=True), str(target)), COMMAND)


def _command(entry: Entry, target: str) -> Subject:
    return Subject(entry, CommandSpec(name=entry.name, summary="", target=target))


def _of(subject: Subject, *kinds: str) -> Iterator[Case]:
    return (Case(check, subject) for kind in kinds for check in all_checks() if check.kind == kind)
