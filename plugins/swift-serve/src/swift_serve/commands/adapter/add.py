"""`swift adapter add`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_core.cli import Screen
from swift_core.contract import UsageError


@click.command("add")
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.argument("adapter", metavar="NAME=CHECKPOINT")
@click.option("--allow-other-base", is_flag=True, help="Add it even if it was trained on another base model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_folder: Path, adapter: str, allow_other_base: bool, as_json: bool) -> None:
    """Add an adapter to the server of RUN_FOLDER, and check that it changes the answers.

    The server must have been started with --runtime-adapters. CHECKPOINT is a folder, a run folder or a reference, as for swift serve.
    """
    from swift_serve import adapters

    name, _, checkpoint = adapter.partition("=")
    if not name or not checkpoint:
        raise UsageError(
            f"'{adapter}' is not NAME=CHECKPOINT",
            code="SERVE-068",
            hint="Write the model name for clients before the path: mine=runs/…/output.",
        )
    with Screen(quiet=as_json) as screen:
        model = adapters.add(run_folder, name, checkpoint, allow_other_base=allow_other_base, note=screen.note, progress=screen.download)
    click.echo(json.dumps({"name": name, "model": model}) if as_json else f"added; clients use the model name '{model}'")
