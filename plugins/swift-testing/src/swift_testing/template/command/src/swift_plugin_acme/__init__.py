"""List the run folders and their disk usage.

The first line of this docstring is the summary that `swift --help` shows; the plugin is not imported for it.
"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("acme")
@click.option("--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Folder that contains the run folders.")
def command(runs: Path) -> None:
    """Show the disk usage of the run folders, largest first."""
    folders = sorted(((size(folder), folder) for folder in runs.glob("*/") if (folder / "run.json").is_file()), reverse=True)
    for taken, folder in folders:
        verb = json.loads((folder / "run.json").read_text(encoding="utf-8"))["verb"]
        click.echo(f"{taken / 1e6:10.1f} MB  {verb:<10} {folder}")
    click.echo(f"{sum(taken for taken, _ in folders) / 1e6:10.1f} MB  in {len(folders)} run folders")


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder, recursively."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
