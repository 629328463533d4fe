"""`swift env create`: create an environment for an engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from swift_core.cli import Screen
from swift_core.plugins import registry
from swift_environments import build
from swift_environments.commands.shared import KIND_HELP, megabytes
from swift_environments.installers import installer
from swift_environments.isolated import isolated_entry
from swift_environments.record import Environment
from swift_environments.requirements import environment_spec, envs_dir


@click.command("create", short_help="Create an environment for an engine")
@click.argument("name")
@click.option("--kind", default="", help=KIND_HELP)
@click.option("--python", type=click.Path(path_type=Path), help="Interpreter to create it with; default: a compatible one that is found.")
@click.option("--constraint", type=click.Path(path_type=Path), help="Constraints file, as for pip -c.")
@click.option("--locked", type=click.Path(path_type=Path), help="Lock file written by `swift env lock`: install exactly these versions.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, without doing it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str, *, kind: str, python: Path | None, constraint: Path | None, locked: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Create the environment of the engine NAME (vllm, sglang, …), unless it exists.

    Packages are installed with uv if it is on the path, else with pip, using the index, constraints and proxies configured there. The
    swift code in it is a copy of what is running. Creation is atomic: a command that fails or is killed leaves no usable environment.
    """
    todo = build.plan(environment_spec(isolated_entry(registry(), name, kind)), python=python, constraint=constraint, locked=locked)
    if dry_run:
        shown = plan_record(todo)
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False)) if as_json else show_plan(shown)
        return
    with Screen(quiet=as_json) as screen:
        made = build.create(todo, watch=screen.watch if screen.terminal else None, note=screen.note)
    report(made, as_json)


def plan_record(todo: build.Plan) -> dict[str, Any]:
    """Return what would be created, as JSON values."""
    existing = Environment.at(todo.folder)
    home = next(parent for parent in (envs_dir(), *envs_dir().parents) if parent.exists())
    return {
        "kind": todo.spec.kind,
        "name": todo.spec.name,
        "folder": str(todo.folder),
        "state": existing.state if todo.folder.exists() else "absent",
        "python": {"path": str(todo.interpreter.path), "version": todo.interpreter.version},
        "installer": installer().version(),
        "requirements": list(todo.locked.freeze if todo.locked else todo.spec.requirements),
        "no_deps": list(() if todo.locked else todo.spec.no_deps),
        "index": todo.spec.index,
        "bytes": int(todo.spec.disk * 1e9) or None,
        "free_bytes": shutil.disk_usage(home).free,
    }


def show_plan(plan: dict[str, Any]) -> None:
    """Print what would be created."""
    size = f"about {megabytes(plan['bytes'])}" if plan["bytes"] else "size unknown"
    click.secho(f"{plan['kind']} {plan['name']}: {size}; {megabytes(plan['free_bytes'])} free", bold=True)
    click.echo(f"folder: {plan['folder']} ({plan['state']})")
    click.echo(f"created with: Python {plan['python']['version']} ({plan['python']['path']}), {plan['installer']}")
    click.echo(f"packages: {', '.join(plan['requirements'])}")
    if plan["no_deps"]:
        click.echo(f"packages without dependencies: {', '.join(plan['no_deps'])}")
    if plan["index"]:
        click.echo(f"additional index: {plan['index']}")


def report(made: Environment, as_json: bool = False) -> None:
    """Print what was created."""
    assert made.record is not None
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "python_path": str(made.python), **made.record.to_json()}, ensure_ascii=False))
        return
    record = made.record
    click.secho(f"{record.spec.name} is ready: {made.folder}", bold=True)
    size = megabytes(record.size)
    click.echo(f"Python {record.python}, {len(record.freeze)} packages, {size}, created in {record.seconds:g} s with {record.builder}")
