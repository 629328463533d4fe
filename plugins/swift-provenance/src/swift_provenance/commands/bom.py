"""Write the bill of materials of a checkpoint (CycloneDX ML-BOM)."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("bom")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="File to write; default: standard output.")
@click.option("--name", default="", help="Name of the model; default: that of the folder.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Parent folder of the run folders to search."
)
def command(checkpoint: Path, output: Path | None, name: str, runs: Path) -> None:
    """Write the bill of materials of CHECKPOINT: a CycloneDX 1.6 ML-BOM in JSON.

    It lists the model with its card, its base models, data sets with licences and hashes, software versions and scores with intervals, as
    far as runs have recorded them.
    """
    from swift_core.system import write_json
    from swift_provenance.bill_of_materials import bill_of_materials
    from swift_provenance.description import describe

    found = bill_of_materials(describe(checkpoint, runs), name or checkpoint.resolve().name)
    if output is None:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    write_json(output, found)
    click.echo(f"bill of materials: {output}")
