"""Lock files: the exact contents of an environment as a requirements file, which `swift env create --locked` reproduces.

pip can read it too: `pip install --no-deps -r FILE`. It has no hashes; packages come from the index that the user has configured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swift_core.contract import UsageError
from swift_environments.record import Record
from swift_environments.requirements import EnvironmentSpec

_HEAD = "# environment:"


@dataclass(frozen=True, slots=True)
class Locked:
    """The contents of a lock file.

    Attributes:
        path: the file.
        what: kind and name of the part whose environment was locked.
        python: major and minor version of Python, such as 3.11.
        platform: the platform, as `sysconfig.get_platform()` names it.
        freeze: the exact requirements.
    """

    path: Path
    what: str
    python: str
    platform: str
    freeze: tuple[str, ...]


def text_of(record: Record) -> str:
    """Return the text of the lock file for an environment."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    spec = record.spec
    names = {canonicalize_name(Requirement(text).name) for text in spec.no_deps}
    alone = [line for line in record.freeze if canonicalize_name(Requirement(line).name) in names]
    lines = [
        f"# Written by: swift env lock {spec.name}. To reproduce the environment: swift env create {spec.name} --locked FILE",
        f"{_HEAD} {spec.kind} {spec.name}",
        f"# python: {_minor(record.python)}",
        f"# platform: {spec.platform}",
        *([f"--extra-index-url {spec.index}"] if spec.index else []),
        *(line for line in record.freeze if line not in alone),
        *(["# without their dependencies:", *alone] if alone else []),
    ]
    return "\n".join(lines) + "\n"


def read(path: Path, spec: EnvironmentSpec) -> Locked:
    """Read a lock file and check that it was written for this part and platform.

    Raises:
        UsageError: the file can't be read, is not a lock file, or was written for another part or platform.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"can't be read: {error}", code="ENV-010", where=str(path), hint="Write one with swift env lock NAME -o FILE."
        ) from None
    heads = dict(line.removeprefix("# ").split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    if not {"environment", "python", "platform"} <= heads.keys():
        raise UsageError("not a lock file", code="ENV-011", where=str(path), hint="Write one with swift env lock NAME -o FILE.")
    freeze = tuple(sorted((line.strip() for line in lines if line.strip() and line[0] not in "#-"), key=str.lower))
    locked = Locked(path, heads["environment"], heads["python"], heads["platform"], freeze)
    for found, expected in ((locked.what, f"{spec.kind} {spec.name}"), (locked.platform, spec.platform)):
        if found != expected:
            hint = "Run swift env lock on a machine of the platform where it will be used."
            raise UsageError(f"the file was locked for {found}; this is {expected}", code="ENV-012", where=str(path), hint=hint)
    return locked


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
