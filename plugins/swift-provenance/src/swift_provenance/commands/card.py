"""Write the model card of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from swift_core.contract import UsageError


@click.command("card")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="File to write; default: README.md in the checkpoint.")
@click.option("--name", default="", help="Name of the model; default: that of the folder.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Parent folder of the run folders to search."
)
@click.option("--annex-xi", is_flag=True, help="Add a table that follows Annex XI of the EU AI Act.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def command(checkpoint: Path, output: Path | None, name: str, runs: Path, annex_xi: bool, overwrite: bool) -> None:  # noqa: PLR0917
    """Write the model card of CHECKPOINT in Hugging Face's format.

    What the runs recorded is filled in; everything else is marked [More Information Needed].
    """
    from swift_core.system import write_text
    from swift_provenance.description import describe
    from swift_provenance.model_card import MISSING, model_card

    about = describe(checkpoint, runs)
    target = output or about.checkpoint.folder / "README.md"
    if target.exists() and not overwrite:
        raise UsageError(f"'{target}' exists", code="AUDIT-021", where="output", hint="Give --output FILE, or --overwrite.")
    text = model_card(about, name or about.checkpoint.folder.resolve().name, annex_xi=annex_xi)
    write_text(target, text)
    click.echo(f"model card: {target}, with {text.count(MISSING)} places to fill in")
