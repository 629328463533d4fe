"""Upload a checkpoint or adapter to a hub."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("push")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("target")
@click.option("--private", is_flag=True, help="Create a private repository; refuse one that exists and is public.")
@click.option("--message", default="Upload with swift push", show_default=True, help="Message of the commit.")
@click.option("--dry-run", is_flag=True, help="List what would be uploaded, without using the network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(checkpoint: Path, target: str, private: bool, message: str, dry_run: bool, as_json: bool) -> None:  # noqa: PLR0917
    """Upload CHECKPOINT, or the output of a run folder, to TARGET, such as hf:org/name, with a model card.

    The token is read from the environment: HF_TOKEN for hf:, MODELSCOPE_API_TOKEN for ms:.
    """
    from swift_hub import push

    upload = push.prepare(checkpoint, target)
    address = "" if dry_run else push.push(upload, message=message, private=private)
    if as_json:
        click.echo(json.dumps({"reference": str(upload.reference), "files": upload.sizes, "address": address}, indent=2))
        return
    for name, size in upload.sizes.items():
        click.echo(f"{size:>15,}  {name}")
    done = "would be uploaded" if dry_run else "uploaded"
    click.echo(f"{sum(upload.sizes.values()):>15,}  bytes {done} to {address or upload.reference}")
