"""`swift env show`: show the contents of an environment."""

from __future__ import annotations

import json

import click

from swift_environments.commands.shared import KIND_HELP, made_for, megabytes


@click.command("show", short_help="Show the contents of an environment")
@click.argument("name")
@click.option("--kind", default="", help=KIND_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, kind: str, as_json: bool) -> None:
    """Show the environment of NAME: its folder, its requirements, and every package in it."""
    found, record = made_for(name, kind)
    if as_json:
        click.echo(
            json.dumps({"folder": str(found.folder), "python_path": str(found.python), **record.to_json()}, indent=2, ensure_ascii=False)
        )
        return
    spec = record.spec
    click.secho(f"{spec.kind} {spec.name}", bold=True)
    for title, text in (
        ("folder", str(found.folder)),
        ("python", f"{record.python} ({found.python}), created from {record.base}"),
        ("created", f"{record.made} in {record.seconds:g} s with {record.builder}"),
        ("size", megabytes(record.size)),
        ("for", f"{spec.distribution} {spec.version}"),
        ("swift code", ", ".join(f"{each} {version}" for each, version in record.ours.items())),
        ("requirements", ", ".join((*spec.requirements, *spec.no_deps))),
        ("log", str(found.log())),
    ):
        click.echo(f"{title}: {text}")
    click.echo("packages:")
    for line in record.freeze:
        click.echo(f"  {line}")
