"""What is known of the installed plugins, as plain data: asked once, printed as a list, as one plugin, or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swift_core.engines import state
from swift_core.environments.find import environment_of
from swift_core.errors import UsageError, suggestion
from swift_core.plugins import Plugin
from swift_core.registry import HOOKS, Entry, Registry, registry
from swift_core.specs import Spec


def records(name: str = "") -> list[dict[str, Any]]:
    """Every plugin, or the one of that name or distribution.

    Raises:
        UsageError: there is none of that name.
    """
    known = registry()
    for kind in HOOKS:
        known.entries(kind)  # asking finds the plugins that fail only then
    found = known.plugins.found
    if name and name not in found:
        by_distribution = [plugin.name for plugin in found.values() if plugin.distribution == name]
        if not by_distribution:
            raise UsageError(f"there is no plugin '{name}'", hint=suggestion(name, found) or f"Installed: {', '.join(found)}.")
        name = by_distribution[0]
    return [_record(known, plugin) for plugin in found.values() if name in ("", plugin.name)]


def _record(known: Registry, plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "hooks": plugin.hooks,
        "failure": plugin.failure,
        "trace": plugin.trace if plugin.failure else "",
        "offers": list(_offers(known, plugin)),
    }


def _offers(known: Registry, plugin: Plugin) -> Iterator[dict[str, Any]]:
    for kind in HOOKS:
        for entry in known.entries(kind):
            if entry.plugin is plugin:
                engine = state(entry.spec, plugin.distribution) if isinstance(entry.spec, Spec) else None
                apart = engine is not None and engine.missing and entry.spec.isolated and _has_environment(entry)
                missing = "" if engine is None or engine.present or apart else _few(engine.missing) or "no engine for this machine"
                yield {
                    "environment": bool(apart),
                    "kind": kind,
                    "name": entry.spec.name,
                    "summary": entry.spec.summary,
                    "missing": missing,
                    "hint": engine.hint if engine else "",
                }


def _has_environment(entry: Entry) -> bool:
    made = environment_of(entry)
    return made is not None and made.state == "whole"


def _few(missing: tuple[str, ...], most: int = 3) -> str:
    more = f" and {len(missing) - most} more" if len(missing) > most else ""
    return ", ".join(missing[:most]) + more
