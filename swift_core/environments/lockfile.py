"""An environment's exact contents as a requirements file, which `swift env create --locked` makes again.

pip can read it too: `pip install --no-deps -r FILE`. Hashes are not in it; the index that it is installed from is the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swift_core.environments.record import Record
from swift_core.environments.wanted import Wanted
from swift_core.errors import UsageError

_HEAD = "# environment:"


@dataclass(frozen=True, slots=True)
class Locked:
    """What a lock file says: of what, for which Python (3.11) and platform, and the exact requirements."""

    path: Path
    what: str
    python: str
    platform: str
    freeze: tuple[str, ...]


def text_of(record: Record) -> str:
    """The file for an environment."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted = record.wanted
    apart = {canonicalize_name(Requirement(text).name) for text in wanted.no_deps}
    alone = [line for line in record.freeze if canonicalize_name(Requirement(line).name) in apart]
    lines = [
        f"# Written by: swift env lock {wanted.name}. This makes the same environment again: swift env create {wanted.name} --locked FILE",
        f"{_HEAD} {wanted.kind} {wanted.name}",
        f"# python: {_minor(record.python)}",
        f"# platform: {wanted.platform}",
        *([f"--extra-index-url {wanted.index}"] if wanted.index else []),
        *(line for line in record.freeze if line not in alone),
        *(["# without their dependencies:", *alone] if alone else []),
    ]
    return "\n".join(lines) + "\n"


def read(path: Path, wanted: Wanted) -> Locked:
    """Read a lock file for what is wanted.

    Raises:
        UsageError: there is none, it is none, or it was written for something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't be read: {error}", where=str(path), hint="swift env lock NAME -o FILE writes one.") from None
    heads = dict(line.removeprefix("# ").split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    if not {"environment", "python", "platform"} <= heads.keys():
        raise UsageError("not a lock file", where=str(path), hint="swift env lock NAME -o FILE writes one.")
    freeze = tuple(sorted((line.strip() for line in lines if line.strip() and line[0] not in "#-"), key=str.lower))
    locked = Locked(path, heads["environment"], heads["python"], heads["platform"], freeze)
    for said, meant in ((locked.what, f"{wanted.kind} {wanted.name}"), (locked.platform, wanted.platform)):
        if said != meant:
            raise UsageError(f"it was locked for {said}; this is {meant}", where=str(path), hint="Lock it anew where it is to be used.")
    return locked


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
