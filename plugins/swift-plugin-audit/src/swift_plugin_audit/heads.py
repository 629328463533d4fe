"""Signed heads: the number of entries and the hash of the last one, kept apart from the log.

A chain alone does not show that its end was cut off. Whoever holds a signed head can tell: the log must have that many entries, and that
one must have that hash.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_core.system import disk_errors
from swift_plugin_audit import files
from swift_plugin_audit.entry import canonical
from swift_plugin_audit.places import Places

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a log: `count` entries, of which the last has `hash`. `signature` is ECDSA over the rest (P-256, SHA-256), in Base64."""

    log: str
    count: int
    hash: str
    time: str = field(default_factory=_now)
    signature: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that are signed."""
        return canonical({key: value for key, value in asdict(self).items() if key != "signature"})


def keep(head: Head, places: Places) -> Head:
    """Sign a head with the user's key, which is made at first use, append it to the heads, and return it.

    Raises:
        SwiftError: the key can't be used, or the heads can't be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _private_key(places)
    signature = base64.b64encode(key.sign(head.signed_bytes, ec.ECDSA(SHA256()))).decode()
    signed = Head(head.log, head.count, head.hash, head.time, signature)
    with files.opened(places.heads) as descriptor, disk_errors(places.heads):
        files.cut(descriptor, files.tail(descriptor).torn)
        files.append(descriptor, canonical(signed.to_json()) + b"\n")
    return signed


def parse(record: Mapping[str, Any]) -> Head:
    """Return a head from JSON values.

    Raises:
        ValueError: it is none.
    """
    if set(record) != {"log", "count", "hash", "time", "signature"} or not isinstance(record["count"], int):
        raise ValueError("not a signed head")
    return Head(**record)


def last(path: Path) -> Head | None:
    """Return the last head that is kept; None if there is none, or it is damaged."""
    if not path.is_file():
        return None
    with files.opened(path) as descriptor:
        line = files.tail(descriptor).line
    try:
        return parse(json.loads(line))
    except (ValueError, TypeError):
        return None


def is_signed(head: Head, public: EllipticCurvePublicKey) -> bool:
    """Return whether the key's owner signed the head."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        public.verify(base64.b64decode(head.signature), head.signed_bytes, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key(path: Path) -> EllipticCurvePublicKey:
    """Read a public key (PEM).

    Raises:
        UsageError: there is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key(path, error) from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise _no_key(path, ValueError("it is not an elliptic-curve key"))
    return key


def _private_key(places: Places) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = places.key
    if not path.exists() and not path.is_symlink():
        _make_key(places)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key(path, error) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _no_key(path, ValueError("it is not an elliptic-curve key"))
    return key


def _make_key(places: Places) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with disk_errors(places.key):
        places.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, data, mode in ((places.public, public, 0o644), (places.key, private, 0o600)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def _no_key(path: Path, error: Exception) -> UsageError:
    hint = "Restore it (PEM, P-256), or name another with SWIFT_AUDIT_KEY."
    return UsageError(f"no usable key: {error}", code="AUDIT-006", where=str(path), hint=hint)
