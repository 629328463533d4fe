"""Which checks a distribution must pass: for each of its plugins, those of plugins; for each part, those of its kind."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass

from swift_core.errors import UsageError, suggestion
from swift_core.plugins import GROUP, Plugins
from swift_core.registry import HOOKS, Registry
from swift_core.specs import Spec
from swift_core.testing.kit.model import CHECKS, EVERY, OPTIONS, PART, PLUGIN, Check, Example
from swift_core.testing.kit.probe import Entry, NotImported, probe
from swift_core.testing.kit.subject import Subject, examples_of

_MODULES = (
    "plugin", "specs", "options", "roles", "families", "loaders", "tuners", "quantizers", "backends", "datasets", "hubs", "tasks",
    "strategies", "exporters", "evaluators", "launchers", "optimizers",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one subject; calling it does it. `last` closes the subject behind it."""

    check: Check
    subject: Subject
    last: bool = False

    @property
    def id(self) -> str:
        """`check_merge[tuner lora]`, or the check's name for a plugin as a whole."""
        return self.check.name if self.subject.spec is None else f"{self.check.name}[{self.subject.label}]"

    def __call__(self) -> None:
        """Do it; see `Check`."""
        try:
            self.check(self.subject)
        finally:
            if self.last:
                self.subject.close()


def all_checks() -> list[Check]:
    """Every check there is, in the order in which they are done."""
    for name in _MODULES:
        importlib.import_module(f"swift_core.testing.kit.checks.{name}")
    return CHECKS


def entries_of(distribution: str) -> list[Entry]:
    """The plugins of a distribution, from its metadata: nothing of it is imported.

    Raises:
        UsageError: it is not installed, or has none.
    """
    points = {
        (point.dist.name, point.name): Entry(point.name, point.value, point.dist.name, point.dist.version)
        for point in importlib.metadata.entry_points(group=GROUP)
        if point.dist
    }
    found = [entry for entry in points.values() if distribution in (entry.distribution, entry.name)]
    if not found:
        names = [name for key in points for name in key]
        near = suggestion(distribution, names) or f"Installed: {', '.join(sorted({home for home, _ in points}))}."
        hint = f"Is it installed here? In its folder: pip install -e . {near}"
        raise UsageError(f"no plugin comes with '{distribution}'", hint=hint)
    return found


def cases(entry: Entry, *, environments: bool = False) -> Iterator[Case]:
    """The checks of a plugin. Those of its parts are given only if it can be imported without harm.

    `environments`: try engines too that have an environment of their own here.
    """
    yield from _of(Subject(entry), PLUGIN)
    try:
        if probe(entry).failure:
            return
    except NotImported:
        return
    module = importlib.import_module(entry.target)
    found = Plugins()
    found.register(module, entry.name, distribution=entry.distribution)
    known, examples = Registry(found), examples_of(module)
    for kind in HOOKS:
        for spec in known.all(kind):
            subject = Subject(entry, spec, examples.get(spec.name, Example()), environments)
            kinds = (PART, OPTIONS) if getattr(spec, "options", None) else (PART,) if isinstance(spec, Spec) else ()
            yield from _of(subject, EVERY, *kinds, kind)


def _of(subject: Subject, *kinds: str) -> Iterator[Case]:
    checks = [check for kind in kinds for check in all_checks() if check.kind == kind]
    for number, check in enumerate(checks, 1):
        yield Case(check, subject, last=number == len(checks))
