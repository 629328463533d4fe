"""`swift env lock`: write a lock file of an environment."""

from __future__ import annotations

from pathlib import Path

import click

from swift_core.system import paths
from swift_environments import freeze
from swift_environments.commands.shared import KIND_HELP, made_for


@click.command("lock", short_help="Write a lock file of an environment")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; by default the lock file is printed.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--kind", default="", help=KIND_HELP)
def command(name: str, output: Path | None, overwrite: bool, kind: str) -> None:
    """Write the exact versions in the environment of NAME, as a requirements file for `swift env create NAME --locked FILE`."""
    _, record = made_for(name, kind)
    text = freeze.text_of(record)
    if output is None:
        click.echo(text, nl=False)
        return
    paths.check_free(output, overwrite=overwrite, where="--output")
    paths.write_text(output, text)
    click.echo(f"{len(record.freeze)} packages: {output}")
