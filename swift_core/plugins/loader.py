"""Finding and loading plugins: each in its own `try`, so that one that fails is recorded and the command goes on without it.

`SWIFT_LOAD_PLUGINS=a,b` loads only these (and the core's own), `SWIFT_BLOCK_PLUGINS=c` leaves some out, and
`SWIFT_STRICT_PLUGINS=1` makes a failure fatal. `SWIFT_TRACE=1` writes each import and each call of a hook to stderr, with its time.
"""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from swift_core.contract import SwiftError, UsageError, hookspecs, suggestion
from swift_core.plugins import local as local_plugins
from swift_core.plugins.metadata import Point, blocked, entry_points, names_in
from swift_core.system import failure_site_of

PLUGIN_GROUP = "swift.plugins"
_LONG = 2.0  # seconds after which it is worth saying which plugin was being imported
OWN = "core"


class BrokenPlugin(UsageError):
    """A plugin failed that must be loaded: SWIFT_STRICT_PLUGINS=1 asks for that, or the user has named this very file."""


@dataclass(slots=True)
class Plugin:
    """An entry point or local file: its name, its origin, and the result of loading it."""

    name: str  # of the entry point
    distribution: str  # of the entry point; of a local file, its path
    version: str  # of the distribution
    target: str  # the module
    failure: str = ""  # one sentence; empty for a plugin that works
    trace: str = ""  # traceback of the failure
    hooks: tuple[str, ...] = field(default_factory=tuple)  # the hooks that it answers
    local: bool = False  # a file that the user has named

    @property
    def label(self) -> str:
        """Return the prefix of a part's name with which users choose between two plugins that offer it."""
        return self.name if self.local else self.distribution


class Plugins:
    """The loaded plugins; `ask` calls their hooks."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("swift")
        self.manager.add_hookspecs(hookspecs)
        self.found: dict[str, Plugin] = {}
        self.left_out: dict[str, str] = {}  # name: distribution, of what the user's variables leave out

    def load_installed(self) -> None:
        """Load what the installed distributions offer, in the order of their names; of two with one name the first-party one."""
        from swift_core.plugins.registered import first_party

        only = names_in("SWIFT_LOAD_PLUGINS")
        left_out = blocked()
        for point in sorted(
            entry_points(PLUGIN_GROUP), key=lambda item: (item.name != OWN, item.name, item.distribution not in first_party())
        ):
            if point.name in left_out or (only is not None and point.name not in only | {OWN}):
                self.left_out[point.name] = point.distribution
                continue
            self._load(point)

    def load_local(self) -> None:
        """Load the files that the user has named, whatever SWIFT_LOAD_PLUGINS says.

        Raises:
            BrokenPlugin: one of them does not work.
        """
        for path in local_plugins.local_plugins():
            plugin = Plugin(path.stem, local_plugins.distribution(path), local_plugins.version(path), str(path), local=True)
            if other := self.found.get(plugin.name):
                self.fail(plugin, f"the plugin name '{plugin.name}' is taken by {other.distribution}")
            self._add(plugin, lambda path=path: local_plugins.load(path))

    def register(self, module: Any, name: str, *, distribution: str = "", version: str = "") -> None:
        """Add a module or object as a plugin; what is wrong with it is recorded, not raised."""
        plugin = Plugin(name, distribution or name, version, getattr(module, "__name__", name))
        self._add(plugin, lambda: module)

    def ask(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """Each plugin's answer to a hook with its owner, by plugin name; one that raises is recorded and left out."""
        for implementation in sorted(
            getattr(self.manager.hook, hook).get_hookimpls(), key=lambda item: (item.plugin_name != OWN, item.plugin_name)
        ):
            plugin = self.found[implementation.plugin_name]
            begin = time.perf_counter()
            try:
                answer = implementation.function(**{name: arguments[name] for name in implementation.argnames})
                answer = list(answer) if isinstance(answer, Iterator) else answer  # a generator runs, and fails, here
            except SwiftError:
                raise
            except (Exception, SystemExit) as error:
                place = failure_site_of(error, implementation.function.__module__)
                self.fail(plugin, f"{hook}() raised {type(error).__name__}: {error}{place}")
                continue
            finally:
                _trace(hook, plugin, begin)
            yield plugin, answer

    def fail(self, plugin: Plugin, reason: str) -> None:
        """Record that a plugin does not work."""
        plugin.failure = plugin.failure or reason
        plugin.trace = plugin.trace or traceback.format_exc()
        if plugin.local:
            raise BrokenPlugin(
                f"the plugin can't be loaded: {reason}", code="PLUGIN-007", where=plugin.target, hint="SWIFT_DEBUG=1 shows the traceback."
            )
        if os.environ.get("SWIFT_STRICT_PLUGINS") == "1":
            raise BrokenPlugin(
                f"plugin '{plugin.name}' ({plugin.distribution} {plugin.version}): {reason}",
                code="PLUGIN-013",
                hint="SWIFT_STRICT_PLUGINS=1 makes this fatal; unset it to go on without the plugin.",
            )

    def _load(self, point: Point) -> None:
        plugin = Plugin(point.name, point.distribution, point.version, point.value)
        if other := self.found.get(point.name):
            self.fail(plugin, f"the plugin name '{point.name}' is taken by {other.distribution}")
            self.found[f"{point.name} ({plugin.distribution})"] = plugin
            return
        self._add(plugin, point.load)

    def _add(self, plugin: Plugin, load: Any) -> None:
        self.found[plugin.name] = plugin
        begin = time.perf_counter()
        try:
            with redirect_stdout(sys.stderr):  # what one prints there must not stand in another's JSON
                module = load()
            _trace("import", plugin, begin)
            _check_version(module)
            self.manager.register(module, plugin.name)
            self.manager.check_pending()
            plugin.hooks = tuple(sorted(caller.name for caller in self.manager.get_hookcallers(module) or ()))
            if not plugin.hooks and not (plugin.local and hasattr(module, local_plugins.COMMANDS)):
                self.fail(plugin, "it answers no hook; mark its functions with @hookimpl")
        except KeyboardInterrupt:
            if time.perf_counter() - begin > _LONG:
                without = f"SWIFT_BLOCK_PLUGINS={plugin.name} leaves it out"
                sys.stderr.write(f"swift: interrupted while plugin '{plugin.name}' was being imported; {without}\n")
            raise
        except BrokenPlugin:
            raise
        except BaseException as error:  # a plugin may call sys.exit while it is imported
            if self.manager.has_plugin(plugin.name):
                self.manager.unregister(name=plugin.name)
            self.fail(plugin, _reason(error) + (local_plugins.line_of(error, Path(plugin.target)) if plugin.local else ""))


@cache
def plugins() -> Plugins:
    """Return the plugins of this process, loaded on first use."""
    loaded = Plugins()
    loaded.load_installed()
    loaded.load_local()
    return loaded


def _trace(what: str, plugin: Plugin, begin: float) -> None:
    if os.environ.get("SWIFT_TRACE") == "1":
        milliseconds = (time.perf_counter() - begin) * 1000
        sys.stderr.write(f"trace: {what:<26} {plugin.name:<20} {milliseconds:8.2f} ms\n")


def _check_version(module: ModuleType) -> None:
    specifier = getattr(module, "SWIFT_API", None)
    if specifier is None:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(specifier).contains(hookspecs.API_VERSION)
    except InvalidSpecifier:
        raise UsageError(f"its SWIFT_API is not a valid version specifier: {specifier!r}", code="PLUGIN-014") from None
    if not fits:
        raise UsageError(
            f"it requires plugin API {specifier}, and this swift-core has {hookspecs.API_VERSION}: upgrade whichever is older",
            code="PLUGIN-015",
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, pluggy.PluginValidationError):
        text = str(error)
        if unknown := re.search(r"unknown hook '(\w+)'", text):
            known = [name for name in dir(hookspecs) if name.startswith("swift_")]
            return f"there is no hook '{unknown[1]}'. {suggestion(unknown[1], known)}".strip()
        return " ".join(text.split())
    if isinstance(error, SwiftError):
        return error.message
    return f"{type(error).__name__}: {error}"
