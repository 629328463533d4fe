"""A filled form before it is started: the command line, the YAML file, its problems, and its plan."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.contract import Problems, Settings, SwiftError, UsageError, VerbSpec
from swift_core.options import adopt
from swift_core.plugins import registry
from swift_core.runs import resolve
from swift_plugin_web.forms import settings_from
from swift_plugin_web.jobs import yaml_of
from swift_plugin_web.places import check_values

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contract import Run

_OFFLINE = ("HUB", "RUN-", "CKPT", "DATA")


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem of a form: the field it belongs to ("" for none), the message, the hint."""

    path: str
    message: str
    hint: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A filled form."""

    values: Mapping[str, Any]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()
    fits: bool = True
    command: str = ""
    yaml: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values for the page's script."""
        faults = [{"path": each.path, "message": each.message, "hint": each.hint, "code": each.code} for each in self.faults]
        shown = {"command": self.command, "yaml": self.yaml, "plan": list(self.plan), "fits": self.fits, "notes": list(self.notes)}
        return {**shown, "faults": faults}


@dataclass(slots=True)
class _Found:
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def drafted(verb: VerbSpec, values: Mapping[str, str], folders: tuple[Path, ...]) -> Draft:
    """Check a filled form as the command line would, without a download, and plan it."""
    found = _Found()
    try:
        settings = settings_from(verb, values)
        check_values(settings.values, folders)
    except UsageError as error:
        return Draft({}, (_fault(error, verb),))
    chosen = _plain(settings.values)
    shown = {"command": command_of(verb.name, chosen), "yaml": yaml_of(verb.name, chosen)}
    run = _resolved(verb, settings, found)
    plan, fits = _plan(run) if run else ((), True)
    return Draft(chosen, tuple(found.faults), tuple(found.notes), plan, fits, **shown)


def command_of(verb: str, values: Mapping[str, Any]) -> str:
    """Return the one-line command."""
    words = ["swift", verb]
    for path, value in _flat(values, ""):
        name = "--" + path.replace("_", "-")
        if isinstance(value, bool):
            head, dot, last = name[2:].rpartition(".")
            words.append(name if value else f"--{head}{dot}no-{last}")
        elif isinstance(value, list):
            words += [name, *map(str, value)]
        else:
            words += [name, str(value)]
    return shlex.join(words)


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        path = prefix.removesuffix(".") if name == "name" and prefix else f"{prefix}{name}"
        found += _flat(value, f"{path}.") if isinstance(value, Mapping) else [(path, value)]
    return found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _resolved(verb: VerbSpec, settings: Settings, found: _Found) -> Run | None:
    trial = Settings({**settings.values, "offline": True, **({"plan": False} if "task" in verb.parts else {})})
    try:
        adopt(trial, verb, registry())
        resolved = resolve(verb, trial)
    except Problems as problems:
        found.faults += [_fault(each, verb) for each in problems.errors]
        return None
    except SwiftError as error:
        if "offline" in error.message or "offline" in error.hint:
            found.notes.append("Files that are not on this machine are downloaded when the run starts; it is planned then.")
        else:
            found.faults.append(_fault(error, verb))
        return None
    found.notes += [note for note in resolved.notes if "offline" not in note]
    return resolved.run


def _fault(error: SwiftError, verb: VerbSpec) -> Fault:
    path = error.where.removeprefix("--").replace("-", "_")
    by_flag = {flag: part for part, flag in verb.flags.items()}
    return Fault(by_flag.get(path, path), error.message, error.hint, error.code)


def _plan(run: Run) -> tuple[tuple[str, ...], bool]:
    from swift_plan import plan
    from swift_plan.text import lines, size

    if run.model is None:
        return (), True
    found = plan(run, trace=False)
    parts = ", ".join(f"{name} {size(value)}" for name, value in found.highest.parts.items() if value)
    return (lines(found)[0], parts, *lines(found)[1:]), found.fits
