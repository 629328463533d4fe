"""Collect the installed plugins as plain data, for the list, the details of one plugin, and JSON."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

from swift_core.contract import Spec, UsageError, suggestion
from swift_core.environments import environment_of
from swift_core.plugins import KINDS, Clash, Offer, Plugin, Registry, clashes, commands_offered, engine_state, registry


def records(name: str = "") -> list[dict[str, Any]]:
    """Return a record of every plugin, or of the one with that name or distribution.

    Raises:
        UsageError: no plugin has that name.
    """
    known = registry()
    for kind in KINDS.values():
        known.entries(kind)  # calls the hooks, so that plugins which fail in them are recorded
    shared = clashes(known)
    everything = [_record(known, plugin, shared) for plugin in known.plugins.found.values()]
    for offer in commands_offered():
        _add_command(everything, offer, shared)
    found = [each for each in everything if name in ("", each["name"])] or [each for each in everything if name == each["distribution"]][:1]
    if name and not found:
        names = [str(each["name"]) for each in everything]
        raise UsageError(
            f"there is no plugin '{name}'", code="PLUGIN-003", hint=suggestion(name, names) or f"Installed: {', '.join(names)}."
        )
    return found


def _add_command(everything: list[dict[str, Any]], offer: Offer, shared: list[Clash]) -> None:
    """Add a command, and its failure if it can't be loaded, to the record of its distribution's plugin, or to a new record."""
    home = offer.point.distribution
    record = next((each for each in everything if each["distribution"] == home), None)
    if record is None:
        mine = [str(clash) for clash in shared if home in clash.owners]
        record = {"name": offer.name, "distribution": home, "version": offer.point.version, "hooks": (), "failure": "", "trace": ""}
        record |= {"offers": [], "clashes": mine}
        everything.append(record)
    summary = ""
    try:
        summary = offer.load().get_short_help_str(140)
    except UsageError as error:
        record["failure"] = record["failure"] or error.message
        record["trace"] = record["trace"] or traceback.format_exc()
    record["offers"].append({"environment": False, "kind": "command", "name": offer.name, "summary": summary, "missing": "", "hint": ""})


def _record(known: Registry, plugin: Plugin, shared: list[Clash]) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "hooks": plugin.hooks,
        "failure": plugin.failure,
        "trace": plugin.trace if plugin.failure else "",
        "offers": list(_offers(known, plugin)),
        "clashes": [str(clash) for clash in shared if plugin.distribution in clash.owners],
    }


def _offers(known: Registry, plugin: Plugin) -> Iterator[dict[str, Any]]:
    for kind in KINDS:
        for entry in known.entries(kind):
            if entry.plugin is plugin:
                engine = engine_state(entry.spec, plugin.distribution) if isinstance(entry.spec, Spec) else None
                own_environment = engine is not None and engine.missing and entry.spec.isolated and environment_of(entry).python
                missing = (
                    "" if engine is None or engine.present or own_environment else _few(engine.missing) or "no engine for this machine"
                )
                yield {
                    "environment": bool(own_environment),
                    "kind": kind,
                    "name": entry.spec.name,
                    "summary": entry.spec.summary,
                    "missing": missing,
                    "hint": engine.hint if engine else "",
                }


def _few(missing: tuple[str, ...], most: int = 3) -> str:
    more = f" and {len(missing) - most} more" if len(missing) > most else ""
    return ", ".join(missing[:most]) + more
