"""`swift plugins`: what is installed, what each offers, what is wrong with it, and what could be installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from swift_core.cli.tables import print_table
from swift_core.engines import state
from swift_core.environments.find import environment_of
from swift_core.errors import UsageError, suggestion
from swift_core.plugins import Plugin
from swift_core.registry import HOOKS, Entry, Registry, catalogue, registry
from swift_core.specs import Spec


@click.command("plugins")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """What is installed, and what is wrong with it; with NAME, everything about one plugin."""
    known = registry()
    for kind in HOOKS:
        known.entries(kind)  # asking finds the plugins that fail only then
    found = known.plugins.found
    if name and name not in found:
        by_distribution = [plugin.name for plugin in found.values() if plugin.distribution == name]
        if not by_distribution:
            raise UsageError(f"there is no plugin '{name}'", hint=suggestion(name, found) or f"Installed: {', '.join(found)}.")
        name = by_distribution[0]
    records = [_record(known, plugin) for plugin in found.values() if name in (None, plugin.name)]
    if as_json:
        click.echo(json.dumps(records, indent=2, ensure_ascii=False))
    elif name:
        _one(records[0])
    else:
        _all(records, {plugin.distribution for plugin in found.values()})


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


def _all(records: list[dict[str, Any]], installed: set[str]) -> None:
    rows = []
    for record in records:
        if record["failure"]:
            text = f"BROKEN: {record['failure']}"
        else:
            kinds: dict[str, list[str]] = {}
            for offer in record["offers"]:
                kinds.setdefault(offer["kind"], []).append(offer["name"] + _engine(offer))
            text = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items()) or ", ".join(record["hooks"])
        rows.append((record["name"], f"{record['distribution']} {record['version']}", text))
    print_table(("plugin", "from", "offers"), rows)
    for record in records:
        for offer in record["offers"]:
            if offer["missing"]:
                click.echo(f"{offer['kind']} {offer['name']}: its engine is absent here ({offer['missing']}): {offer['hint']}")
    more = sorted({home for names in catalogue().values() for home in names.values()} - installed)
    if more:
        click.echo(f"not installed: {', '.join(more)}  (pip install NAME)")
    if any(record["failure"] for record in records):
        click.echo("swift plugins NAME shows the traceback of a broken one.")


def _engine(offer: dict[str, Any]) -> str:
    if offer["missing"]:
        return " (engine absent)"
    return " (in an environment of its own)" if offer["environment"] else ""


def _one(record: dict[str, Any]) -> None:
    click.secho(f"{record['name']}  ({record['distribution']} {record['version']})", bold=True)
    if record["failure"]:
        click.echo(f"BROKEN: {record['failure']}\n\n{record['trace']}")
    click.echo(f"hooks: {', '.join(record['hooks'])}")
    if record["offers"]:
        print_table(
            ("kind", "name", "what it is"),
            [
                (offer["kind"], offer["name"], offer["summary"] + (f"  [engine absent: {offer['missing']}]" if offer["missing"] else ""))
                for offer in record["offers"]
            ],
        )
    for hint in dict.fromkeys(offer["hint"] for offer in record["offers"] if offer["missing"]):
        click.echo(f"to get the engine: {hint}")
