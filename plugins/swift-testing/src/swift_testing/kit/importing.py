"""Imports a plugin as the command line does, in a process of its own, and tells what it did.

It is called as `python -m … NAME TARGET DISTRIBUTION [command]`.

What a plugin does while it is imported it does to every command of everyone who has it installed. Imports, network, files and
processes are seen by Python's audit hooks, prints at the file descriptor, so that libraries in C are seen too.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import packages_distributions
from types import FrameType
from typing import Any

from swift_core.contract import specs
from swift_core.plugins import local
from swift_core.plugins.loader import Plugins
from swift_core.plugins.registry import HOOKS, Registry
from swift_core.system.failure_site import place_of

OURS = frozenset({"swift_core", "pluggy", "packaging"})
# swift_train is a library whose options, which a task's derive from, import no more than swift_core's.
FOR_OPTIONS = frozenset({"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "swift_train"})
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind")


@dataclass
class Report:
    """What was seen. `foreign` are imports of others' modules and where they stand; `stage` is how far it came."""

    stage: str = "import"  # import, register, ask, done
    failure: str = ""
    trace: str = ""
    api: str | None = None
    foreign: dict[str, str] = field(default_factory=dict)
    foreign_for_options: dict[str, str] = field(default_factory=dict)
    network: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    printed: str = ""


class Watcher:
    """Sees imports of others' modules, network, files and processes while it is on."""

    def __init__(self, report: Report, own: frozenset[str]) -> None:
        self.report, self.own, self.on = report, own, False
        self.imports = report.foreign
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "import":
            self._import(str(args[0]))
        elif event in _NETWORK:
            self.report.network.append(f"{event} {args[-1] if event == 'socket.connect' else args[0]!r}{self._place()}")
            raise PermissionError("there is no network while a plugin is imported")
        elif event in _PROCESSES:
            self.report.processes.append(f"{args[0] if args else event}{self._place()}")
        elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            self.report.files.append(f"{args[0]}{self._place()}")

    def _import(self, name: str) -> None:
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names or top.startswith("_sysconfigdata")
        if not standard and top not in self.own | OURS and (place := self._place()):
            self.imports.setdefault(top, place)

    def _place(self) -> str:
        """Where in the plugin's own code we are; empty where none of it is running."""
        frame: FrameType | None = sys._getframe(2)
        while frame:
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] in self.own:
                return f" ({frame.f_code.co_filename}, line {frame.f_lineno})"
            frame = frame.f_back
        return ""


def state() -> dict[str, Any]:
    """What belongs to the whole process, and is not a plugin's to change."""
    root = logging.getLogger()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return {
        "os.environ": dict(os.environ),
        "logging": (root.level, list(root.handlers), root.manager.disable),
        "signal handlers": handlers,
        "the working directory": os.getcwd(),
        "sys.path": list(sys.path),
        "sys.excepthook": sys.excepthook,
        "warnings": list(sys.modules["warnings"].filters) if "warnings" in sys.modules else [],
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """What of it is another now, in words."""
    for name, value in before.items():
        if value != after[name]:
            if name == "os.environ":
                names = sorted(key for key in {*value, *after[name]} if value.get(key) != after[name].get(key))
                yield f"{name} ({', '.join(names)})"
            else:
                yield name


@contextmanager
def captured(report: Report) -> Iterator[None]:
    """Keep what goes to file descriptor 1 out of our own channel, and its beginning in the report."""
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            file.seek(0)
            report.printed = file.read(200).decode(errors="replace").strip()


def observe(name: str, target: str, distribution: str, command: str = "") -> Report:
    """Import the plugin's module, register it and ask its hooks; of a command, import its module."""
    report = Report()
    file = local.file_of(distribution)
    module = target.partition(":")[0]
    top = module.partition(".")[0]
    own = frozenset({top, *(module for module, homes in packages_distributions().items() if distribution in homes)})
    watcher = Watcher(report, own | {"click"} if command else own | {"click", *FOR_OPTIONS} if file else own)
    before = state()
    with captured(report):
        watcher.on = True
        try:
            load = partial(local.load, file) if file else partial(importlib.import_module, module)
            if command:
                load()
                report.stage = "done"
            else:
                _ask(report, watcher, load, name)
        except BaseException as error:  # sys.exit is one of the things that plugins do
            report.failure = report.failure or f"{type(error).__name__}: {error}{place_of(error, module)}"
            report.trace = traceback.format_exc()
        watcher.on = False
    report.changed = list(changes(before, state()))
    return report


def _ask(report: Report, watcher: Watcher, load: Callable[[], Any], name: str) -> None:
    module = load()
    report.stage = "register"
    report.api = getattr(module, "SWIFT_API", None)
    found = Plugins()
    found.register(module, name)
    report.failure = found.found[name].failure
    if report.failure:
        return
    report.stage = "ask"
    known = Registry(found)
    offered = [spec for kind in HOOKS for spec in known.all(kind)]
    report.failure = found.found[name].failure
    report.stage = "done" if not report.failure else "ask"
    watcher.on = False
    before = set(sys.modules)
    for spec in offered:
        if getattr(spec, "options", None):
            _options(report, watcher, spec.options, before)


def _options(report: Report, watcher: Watcher, ref: specs.Ref, before: set[str]) -> None:
    """Import an options class; that it can be is another check's matter."""
    try:
        importlib.import_module(ref.module)
    except Exception:
        return
    new = {name.partition(".")[0] for name in set(sys.modules) - before} & set(packages_distributions())
    for top in sorted(new - watcher.own - OURS - FOR_OPTIONS - {ref.module.partition(".")[0]}):
        report.foreign_for_options.setdefault(top, ref.module)


def main() -> None:
    """Say the report as JSON on stdout."""
    sys.dont_write_bytecode = True
    report = observe(*sys.argv[1:5])
    sys.stdout.write(json.dumps(vars(report)))


if __name__ == "__main__":
    main()
