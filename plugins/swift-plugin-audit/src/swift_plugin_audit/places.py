"""Paths of the log, its signed heads and the signing key, from environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from swift_core.contract import UsageError

Mode = Literal["on", "required", "off"]


@dataclass(frozen=True, slots=True)
class Places:
    """`log` holds the entries, `heads` the signed heads (another disk or machine is best), `key` the private key that signs them."""

    log: Path
    heads: Path
    key: Path

    @property
    def public(self) -> Path:
        """The public key, beside the private one."""
        return self.key.with_suffix(".pub")


def mode() -> Mode:
    """Return what SWIFT_AUDIT says: `on` (the default), `required`, or `off`.

    Raises:
        UsageError: it says something else.
    """
    given = os.environ.get("SWIFT_AUDIT", "").strip().lower() or "on"
    for known in get_args(Mode):
        if given == known:
            return cast(Mode, known)
    raise UsageError(f"SWIFT_AUDIT is '{given}'", code="AUDIT-001", where="SWIFT_AUDIT", hint="Set it to on, required or off.")


def places() -> Places:
    """Return the places that SWIFT_AUDIT_LOG, SWIFT_AUDIT_HEADS and SWIFT_AUDIT_KEY name, or those in the user's folders."""
    state = _folder("XDG_STATE_HOME", ".local/state")
    config = _folder("XDG_CONFIG_HOME", ".config")
    return Places(
        _place("SWIFT_AUDIT_LOG", state / "audit" / "audit.jsonl"),
        _place("SWIFT_AUDIT_HEADS", config / "audit" / "heads.jsonl"),
        _place("SWIFT_AUDIT_KEY", config / "audit" / "key.pem"),
    )


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "swift-core"


def _place(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable) or default).expanduser().absolute()
