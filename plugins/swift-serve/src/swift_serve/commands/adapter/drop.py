"""`swift adapter drop`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("drop")
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.argument("name")
def command(run_folder: Path, name: str) -> None:
    """Stop serving the adapter NAME with the server of RUN_FOLDER, which must have been started with --runtime-adapters."""
    from swift_serve import adapters

    adapters.drop(run_folder, name)
    click.echo(f"dropped '{name}'")
