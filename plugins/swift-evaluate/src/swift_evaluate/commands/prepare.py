"""`swift eval prepare`: lay out local benchmark files for every evaluator."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_evaluate.prepare import FORMATS, prepare

_HELP = f"""Check the files of the benchmark NAME and write them in the layout that every evaluator reads.

NAME is one of {", ".join(FORMATS)}; the files are those that its authors publish."""


@click.command("prepare", short_help="Lay out local benchmark files for every evaluator", help=_HELP)
@click.argument("name")
@click.option("--from", "sources", multiple=True, required=True, type=click.Path(path_type=Path), help="A file or folder; repeatable.")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="The folder to write; default: eval-data/NAME.")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(name: str, sources: tuple[Path, ...], output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Prepare a benchmark, and print where it is."""
    found = prepare(name, sources, output or Path("eval-data") / name, overwrite=overwrite)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "benchmark": found.name,
                    "folder": str(found.folder),
                    "rows": dict(found.counts),
                    "left_out": dict(found.left_out),
                    "hash": found.hash(),
                }
            )
        )
        return
    for place, count in found.counts.items():
        left = f"; {number} left out, since they have no answer" if (number := found.left_out.get(place)) else ""
        click.echo(f"{place}: {count} rows{left}")
    data = json.dumps({found.name: str(found.folder)})
    click.echo(f"prepared: {found.folder}; evaluate with: swift eval MODEL --evaluator NAME --tasks {found.name} --data '{data}'")
