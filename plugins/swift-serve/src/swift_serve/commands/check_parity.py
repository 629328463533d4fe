"""Check that a server renders conversations to the tokens that a checkpoint was trained on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swift_core.cli import print_table
from swift_core.contract import SwiftError, UsageError

if TYPE_CHECKING:
    from swift_core.checkpoints import Manifest


@click.command("check-parity")
@click.argument("url")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--name", metavar="TEXT", default="", help="Model name on the server; empty: its first model.")
@click.option(
    "--api-key-env",
    metavar="TEXT",
    default="SWIFT_API_KEY",
    show_default=True,
    help="Environment variable that holds the server's API key.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(url: str, checkpoint: Path, name: str, api_key_env: str, as_json: bool) -> int:
    """Check that the server at URL (ending in /v1) renders CHECKPOINT's golden conversations to the token ids in its manifest.

    Exits with 0 if all are equal, and with 1 if one differs or can't be compared.
    """
    from swift_core.contract import Server
    from swift_serve.parity import check_parity

    manifest = _manifest(checkpoint)
    parity = check_parity(Server.at(url, api_key=os.environ.get(api_key_env)), manifest.golden, model=name)
    if as_json:
        click.echo(json.dumps({"same": parity.same, **asdict(parity)}, ensure_ascii=False))
        return 0 if parity.same else 1
    rows = [(check.name, str(check.tokens), check.how or "-", check.result) for check in parity.checks]
    print_table(("conversation", "tokens", "compared by", "result"), rows)
    if different := parity.words("different"):
        raise SwiftError(
            f"the server gives the model other tokens than it was trained on: {different}", code="SERVE-069", where=url, hint=parity.hint
        )
    if unchecked := parity.words("unchecked"):
        raise SwiftError(
            f"can't be compared: {unchecked}",
            code="SERVE-070",
            where=url,
            hint="Serve it with an engine that has POST /tokenize: transformers or vLLM.",
        )
    return 0


def _manifest(checkpoint: Path) -> Manifest:
    """Return the checkpoint's manifest, which must have golden conversations."""
    from swift_core.checkpoints import Checkpoint
    from swift_core.plugins import format_of

    if not checkpoint.is_dir():
        raise UsageError(
            "not a folder",
            code="SERVE-071",
            where=str(checkpoint),
            hint="Give the folder of a checkpoint that swift sft, pretrain or merge wrote.",
        )
    format_of(checkpoint)
    manifest = Checkpoint.at(checkpoint).manifest
    if manifest and manifest.golden:
        return manifest
    raise UsageError(
        "the checkpoint has no golden conversations to compare with",
        code="SERVE-072",
        where=str(checkpoint),
        hint="Give a checkpoint that swift sft, pretrain or merge wrote: they are in its swift.json.",
    )
