"""Write the HTML report of a run, or of several side by side."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="File to write; default: report.html in the run folder, if it is one.")
@click.option("--name", "names", multiple=True, help="Display name of a run; repeat it once per run, in order.")
def command(runs: tuple[Path, ...], output: Path | None, names: tuple[str, ...]) -> None:
    """Write one HTML file on RUNS: run folders, or the folder of a recipe.

    The file is self-contained: it has no scripts and loads nothing. Several runs are shown side by side.
    """
    from swift_report.page import write_report

    click.echo(f"report: {write_report(runs, output, names=names)}")
