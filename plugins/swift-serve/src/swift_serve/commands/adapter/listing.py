"""`swift adapter list`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_core.cli import print_table


@click.command("list")
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_folder: Path, as_json: bool) -> None:
    """List the adapters of the server of RUN_FOLDER, with the model name that clients use for each."""
    from swift_serve import adapters

    found = adapters.listed(run_folder)
    if as_json:
        click.echo(json.dumps(found))
    elif found:
        print_table(("adapter", "model name"), list(found.items()))
    else:
        click.echo("no adapters")
