"""`swift env doctor`: does an environment work, and if not, why."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from swift_core import engines
from swift_core.cli.env.shared import KIND_HELP
from swift_core.environments.doctor import Finding, examine
from swift_core.environments.find import environment_of
from swift_core.environments.wanted import isolated_entry, wanted
from swift_core.errors import UsageError
from swift_core.registry import Entry, registry

_MARKS = {True: ("ok", "green"), False: ("bad", "red"), None: ("note", "yellow")}


@click.command("doctor", short_help="Does an environment work, and if not, why")
@click.argument("name")
@click.option("--kind", default="", help=KIND_HELP)
@click.option("--python", type=click.Path(path_type=Path), help="Look at this interpreter's environment, made elsewhere.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds that the import of the engine may take.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, kind: str, python: Path | None, timeout: float, as_json: bool) -> int:
    """Look at the environment of NAME: its Python, our code in it, the engine's import, the device, and packages that disagree.

    Exits with 0 where all is well, else with 1.
    """
    entry = isolated_entry(registry(), name, kind)
    where, ours = (python, False) if python else _where(entry)
    findings = []
    for finding in examine(where, entry, wanted(entry), ours=ours, limit=timeout):
        findings.append(finding)
        if not as_json:
            _print(finding)
    well = all(finding.ok is not False for finding in findings)
    if as_json:
        click.echo(json.dumps({"python": str(where), "ok": well, "findings": [asdict(each) for each in findings]}, ensure_ascii=False))
    elif not well and ours:
        click.echo(f"swift env remove {entry.spec.name} and swift env create {entry.spec.name} make it anew.")
    return 0 if well else 1


def _where(entry: Entry) -> tuple[Path, bool]:
    """The environment that a run would use, and whether it is one that we made."""
    if engines.state(entry.spec, entry.plugin.distribution).present:
        return Path(sys.executable), False
    found = environment_of(entry)
    if found is None:
        raise UsageError(f"there is no environment of '{entry.spec.name}'", where="NAME", hint=f"swift env create {entry.spec.name}")
    return found.python, True


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.ok]
    click.echo(f"{click.style(f'{mark:<4}', fg=colour, bold=True)}  {finding.what}: {finding.text}")
