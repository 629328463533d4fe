"""Sign a checkpoint in the OpenSSF model-signing format."""

from __future__ import annotations

import os
from pathlib import Path

import click

from swift_core.contract import UsageError


@click.command("sign")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="Private key (PEM, elliptic curve: P-256, P-384 or P-521).")
@click.option("--password-env", default="SWIFT_KEY_PASSWORD", show_default=True, help="Variable with the password of an encrypted key.")
@click.option("--keyless", is_flag=True, help="Sign with an identity of Sigstore instead of a key; asks for it in the browser.")
def command(checkpoint: Path, key: Path | None, password_env: str, keyless: bool) -> None:
    """Sign every file of CHECKPOINT: a folder, or one file such as a GGUF.

    The signature is `model.sig` in the folder, in the format of OpenSSF model signing, which other tools verify too.
    """
    from swift_provenance import signing

    if (key is None) == (not keyless):
        raise UsageError("give either --key or --keyless", code="AUDIT-019", where="swift sign", hint="Name the key: --key key.pem.")
    signature = signing.sign(checkpoint, key, os.environ.get(password_env)) if key else signing.sign_keyless(checkpoint)
    click.echo(f"signature: {signature}")
