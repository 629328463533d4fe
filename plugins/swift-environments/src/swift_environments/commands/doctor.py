"""`swift env doctor`: diagnose an environment."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from swift_core.contract import Spec, UsageError
from swift_core.plugins import Entry, engines, registry
from swift_environments.commands.shared import KIND_HELP
from swift_environments.doctor import Finding, examine
from swift_environments.isolated import isolated_entry
from swift_environments.lookup import environment_of
from swift_environments.requirements import environment_spec

_MARKS = {True: ("ok", "green"), False: ("bad", "red"), None: ("note", "yellow")}


@click.command("doctor", short_help="Diagnose an environment")
@click.argument("name")
@click.option("--kind", default="", help=KIND_HELP)
@click.option("--python", type=click.Path(path_type=Path), help="Check the environment of this interpreter instead, created elsewhere.")
@click.option("--timeout", default=300.0, show_default=True, help="Maximum seconds for importing the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, kind: str, python: Path | None, timeout: float, as_json: bool) -> int:
    """Diagnose the environment of NAME: its Python, the swift code in it, the import of the engine, the device, and package conflicts.

    The exit code is 0 if all checks pass, else 1.
    """
    entry = isolated_entry(registry(), name, kind)
    where, ours = (python, False) if python else _where(entry)
    findings = []
    for finding in examine(where, entry, environment_spec(entry), ours=ours, limit=timeout):
        findings.append(finding)
        if not as_json:
            _print(finding)
    ok = all(finding.ok is not False for finding in findings)
    if as_json:
        click.echo(json.dumps({"python": str(where), "ok": ok, "findings": [asdict(each) for each in findings]}, ensure_ascii=False))
    elif not ok and ours:
        click.echo(f"To create it again: swift env remove {entry.spec.name}, then swift env create {entry.spec.name}.")
    return 0 if ok else 1


def _where(entry: Entry[Spec]) -> tuple[Path, bool]:
    """Return the interpreter that a run would use, and whether swift created its environment."""
    if engines.engine_state(entry.spec, entry.plugin.distribution).present:
        return Path(sys.executable), False
    found = environment_of(entry)
    if found is None:
        hint = f"Create it: swift env create {entry.spec.name}"
        raise UsageError(f"there is no environment for '{entry.spec.name}'", code="ENV-004", where="NAME", hint=hint)
    return found.python, True


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.ok]
    click.echo(f"{click.style(f'{mark:<4}', fg=colour, bold=True)}  {finding.what}: {finding.text}")
