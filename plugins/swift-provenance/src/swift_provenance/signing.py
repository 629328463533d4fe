"""Signatures of checkpoints in the format of OpenSSF model signing (a Sigstore bundle over the SHA-256 of every file).

The stock tool reads what is written here: `model_signing verify key FOLDER --signature FOLDER/model.sig --public_key KEY`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError, UsageError
from swift_core.system import write_text

if TYPE_CHECKING:
    from model_signing.hashing import Config

SIGNATURE = "model.sig"
_AGAIN = "Get the checkpoint again from its signer; if the change is intended, sign it again: swift sign."


def signature_of(checkpoint: Path) -> Path:
    """Return where the signature is: `model.sig` in a folder, `NAME.sig` beside a file."""
    return checkpoint / SIGNATURE if checkpoint.is_dir() else checkpoint.with_name(f"{checkpoint.name}.sig")


def sign(checkpoint: Path, key: Path, password: str | None = None) -> Path:
    """Sign every file of a checkpoint with a private key and return the signature file.

    Args:
        checkpoint: a folder, or one file.
        key: elliptic-curve private key (PEM; P-256, P-384 or P-521).
        password: of the key, if it is encrypted.

    Raises:
        UsageError: model-signing is not installed, or the key can't be used.
    """
    _check(checkpoint)
    _check_key(key)
    signing = _library("signing")
    with _errors(key):
        config = signing.Config().use_elliptic_key_signer(private_key=key, password=password)
    return _signed(checkpoint, config)


def sign_keyless(checkpoint: Path) -> Path:
    """Sign with an identity of Sigstore's public instance, which asks for it in the browser, or takes that of the CI job.

    Raises:
        UsageError: model-signing is not installed.
        SwiftError: the identity was not confirmed, or the network failed.
    """
    from swift_core.system import network

    _check(checkpoint)
    network.refuse_offline("Sigstore's signing service")
    config = _library("signing").Config().use_sigstore_signer(use_ambient_credentials=False)
    return _signed(checkpoint, config)


def verify(checkpoint: Path, key: Path) -> None:
    """Check that a checkpoint is exactly what the owner of a key signed: no file changed, missing or added.

    Raises:
        UsageError: model-signing is not installed, there is no signature, or the key can't be read.
        SwiftError: the signature is by another key, or of other files.
    """
    _check_key(key)
    verifying = _library("verifying")
    with _errors(key):
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    _verified(checkpoint, config)


def verify_keyless(checkpoint: Path, identity: str, provider: str) -> None:
    """Check that a checkpoint is what the holder of a Sigstore identity signed; needs the network once, for Sigstore's keys.

    Raises:
        UsageError, SwiftError: as `verify`.
    """
    config = _library("verifying").Config().use_sigstore_verifier(identity=identity, oidc_issuer=provider)
    _verified(checkpoint, config)


def _signed(checkpoint: Path, config: Any) -> Path:
    target = signature_of(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder, SIGNATURE)
        with _errors(checkpoint):
            config.set_hashing_config(_hashing(checkpoint)).sign(checkpoint, aside)
        write_text(target, aside.read_text(encoding="utf-8"))
    return target


def _verified(checkpoint: Path, config: Any) -> None:
    _check(checkpoint)
    signature = signature_of(checkpoint)
    if not signature.is_file():
        raise UsageError("it has no signature", code="AUDIT-013", where=str(signature), hint="swift sign makes one.")
    try:
        config.set_hashing_config(_hashing(checkpoint)).verify(checkpoint, signature)
    except Exception as error:  # what the library raises depends on the kind of signature
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SwiftError(f"the signature is not valid: {reason}", code="AUDIT-014", where=str(checkpoint), hint=_AGAIN) from error


def _hashing(checkpoint: Path) -> Config:
    """Return the library's own settings, with links followed where a hub's cache consists of links; the signature is not signed."""
    hashing = _library("hashing")
    linked = checkpoint.is_dir() and any(path.is_symlink() for path in checkpoint.rglob("*"))
    config: Config = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=True)  # relative to the checkpoint
    return config.set_allow_symlinks(linked)


def _library(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"model_signing.{module}")
    except ImportError as error:
        raise UsageError(
            f"signatures need the package model-signing: {error}",
            code="AUDIT-015",
            hint="pip install 'swift-provenance[signing]'",
        ) from error


def _check(checkpoint: Path) -> None:
    if not checkpoint.exists():
        raise UsageError("there is no such checkpoint", code="AUDIT-016", where=str(checkpoint), hint="Check the path.")


def _check_key(key: Path) -> None:
    if not key.is_file():
        hint = (
            "Create a key pair: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub"
        )
        raise UsageError("there is no such key", code="AUDIT-017", where=str(key), hint=hint)


@contextmanager
def _errors(where: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        hint = "A key must be an elliptic-curve key (PEM), and a checkpoint a folder that can be written."
        raise UsageError(f"it can't be signed with or checked: {error}", code="AUDIT-018", where=str(where), hint=hint) from error
