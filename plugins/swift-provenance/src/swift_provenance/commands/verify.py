"""Verify the signature of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from swift_core.contract import UsageError


@click.command("verify")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="Public key of the signer (PEM).")
@click.option("--identity", help="Sigstore identity of the signer, such as an e-mail address, in place of a key.")
@click.option("--identity-provider", help="Issuer that confirmed the identity, such as https://accounts.google.com.")
def command(checkpoint: Path, key: Path | None, identity: str | None, identity_provider: str | None) -> None:
    """Verify that CHECKPOINT is exactly what was signed: no file changed, missing or added.

    Exits with 0 if it is, with 1 if it is not.
    """
    from swift_provenance import signing

    if key:
        signing.verify(checkpoint, key)
    elif identity and identity_provider:
        signing.verify_keyless(checkpoint, identity, identity_provider)
    else:
        hint = "Give --key, or both --identity and --identity-provider."
        raise UsageError("no signer is specified", code="AUDIT-020", where="swift verify", hint=hint)
    click.echo(f"{checkpoint}: the signature holds")
