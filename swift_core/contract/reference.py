"""Names of things that live elsewhere: `hf:org/name@revision`, `ms:…`, `pypi:package==1.0`, `file:./folder`, or a bare path or id."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from swift_core.contract.errors import UsageError


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. `str()` gives the canonical spelling back."""

    scheme: str  # the hub: `hf`, `ms`, `file`, …
    name: str  # what the hub calls it
    revision: str = ""  # branch, tag, commit or version; '': the latest
    separator: str = field(default="@", compare=False)  # between name and revision; `HubSpec.separator`

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}{self.separator + self.revision if self.revision else ''}"


def parse_reference(text: str, *, hub: str = "", where: str = "model") -> Reference:
    """Parse a reference; a path that exists wins over a hub id, and a bare `org/name` belongs to `hub` (the scheme of a hub).

    Raises:
        UsageError: empty, a path that does not exist and can't be a hub id, or a bare name without a `hub`.
    """
    text = text.strip()
    if not text:
        raise UsageError("empty reference", code="HUB-037", where=where, hint="Give a path, or something like hf:org/name.")
    scheme, colon, rest = text.partition(":")
    if colon and scheme.isalnum() and len(scheme) > 1:  # one letter would be a drive
        return _split(scheme, rest, where)
    path = Path(text).expanduser()
    if path.exists():
        return Reference("file", str(path))
    if text.startswith((".", "/", "~")) or os.sep in text.rstrip(os.sep).replace("/", "", 1) or text.endswith(os.sep):
        raise UsageError(f"there is no file or folder '{text}'", code="HUB-038", where=where, hint="Check the path.")
    if not hub:
        hint = "Install a hub (swift plugins lists them), or prefix the reference with a hub: hf:org/name."
        raise UsageError(f"there is no file or folder '{text}', and no default hub", code="HUB-040", where=where, hint=hint)
    return _split(hub, text, where)


def _split(scheme: str, rest: str, where: str) -> Reference:
    if scheme == "file":
        return Reference("file", str(Path(rest).expanduser()))
    name, separator, revision = (*re.split("(==|@)", rest, maxsplit=1), "@", "")[:3]
    if not name.strip("/"):
        raise UsageError(f"'{scheme}:{rest}' has no name", code="HUB-039", where=where, hint=f"Write {scheme}:name.")
    return Reference(scheme, name, revision, separator)
