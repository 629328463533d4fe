"""Import a plugin in its own process, as the command line does, and report the side effects.

Run as `python -m … NAME TARGET DISTRIBUTION [command]`.

The side effects of a plugin's import affect every command of every user who has it installed. Imports, network access, files and
processes are observed with Python's audit hooks (PEP 578); output is captured at the file descriptor, so C libraries are covered too.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from types import FrameType
from typing import Any

from swift_core.contract import specs
from swift_core.plugins import HOOKS, Plugins, Registry, local
from swift_core.system import failure_site_of

OURS = frozenset({"swift_core", "pluggy", "packaging"})
# Option classes derive from those of the libraries, which import no more than those of swift_core.
_LIBRARIES = frozenset({"swift_data", "swift_nodes", "swift_serve", "swift_evaluate", "swift_convert", "swift_train", "swift_rollouts"})
FOR_OPTIONS = _LIBRARIES | {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind")


@dataclass
class Report:
    """The observed side effects of importing a plugin.

    Attributes:
        stage: how far it got: `import`, `register`, `ask` (its hooks are called) or `done`.
        failure: the error that ended it; '' if there was none.
        trace: the traceback of the error.
        api: the plugin's SWIFT_API.
        foreign: third-party modules that it imports → the line that imports them.
        foreign_for_options: third-party modules that importing its options imports → the module of the options.
        network: attempts to access the network.
        files: files opened for writing.
        processes: processes started.
        changed: process-wide state that was changed.
        printed: the beginning of what was printed to stdout.
    """

    stage: str = "import"
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
    """Records third-party imports, network access, files and processes while `on` is set."""

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
            raise PermissionError("network access is not allowed while a plugin is imported")
        elif event in _PROCESSES:
            self.report.processes.append(f"{args[0] if args else event}{self._place()}")
        elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            self.report.files.append(f"{args[0]}{self._place()}")

    def _import(self, name: str) -> None:
        top = name.partition(".")[0]
        if not _standard(top) and top not in self.own | OURS and (place := self._place()):
            self.imports.setdefault(top, place)

    def _place(self) -> str:
        """Return the running line of the plugin's own code; '' if none of its code is on the stack."""
        frame: FrameType | None = sys._getframe(2)
        while frame:
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] in self.own:
                return f" ({frame.f_code.co_filename}, line {frame.f_lineno})"
            frame = frame.f_back
        return ""


def _standard(top: str) -> bool:
    return top in sys.stdlib_module_names or top.startswith("_sysconfigdata")


def state() -> dict[str, Any]:
    """Return the process-wide state, which a plugin must not change."""
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
    """Yield the names of what has changed between two states."""
    for name, value in before.items():
        if value != after[name]:
            if name == "os.environ":
                names = sorted(key for key in {*value, *after[name]} if value.get(key) != after[name].get(key))
                yield f"{name} ({', '.join(names)})"
            else:
                yield name


@contextmanager
def captured(report: Report) -> Iterator[None]:
    """Redirect file descriptor 1, so that output can't corrupt our own channel, and record its beginning in the report."""
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
    """Import the plugin's module, register it and call its hooks, or import the module of a command; return the side effects."""
    report = Report()
    file = local.file_of(distribution)
    module = target.partition(":")[0]
    top = module.partition(".")[0]
    own = frozenset({top, *_modules(distribution)})
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
        except BaseException as error:  # includes SystemExit, which plugins do raise
            report.failure = report.failure or f"{type(error).__name__}: {error}{failure_site_of(error, module)}"
            report.trace = traceback.format_exc()
        watcher.on = False
    report.changed = list(changes(before, state()))
    return report


def _modules(distribution: str) -> set[str]:
    """Return the names of a distribution's modules and packages, as far as its list of files has them."""
    with suppress(metadata.PackageNotFoundError):
        return {file.parts[0].removesuffix(".py") for file in metadata.files(distribution) or () if file.suffix == ".py"}
    return set()


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
        if isinstance(spec, specs.Spec) and spec.options:
            _options(report, watcher, spec.options, before)


def _options(report: Report, watcher: Watcher, ref: specs.Ref, before: set[str]) -> None:
    """Import the module of an options class and record its third-party imports; another check reports a failing import."""
    try:
        importlib.import_module(ref.module)
    except Exception:
        return
    allowed = watcher.own | OURS | FOR_OPTIONS | {ref.module.partition(".")[0]}
    new = {top for name in set(sys.modules) - before if not _standard(top := name.partition(".")[0])} - allowed
    for top in sorted(new & metadata.packages_distributions().keys()) if new else ():
        report.foreign_for_options.setdefault(top, ref.module)


def main() -> None:
    """Write the report as JSON to stdout."""
    sys.dont_write_bytecode = True
    report = observe(*sys.argv[1:5])
    sys.stdout.write(json.dumps(vars(report)))


if __name__ == "__main__":
    main()
