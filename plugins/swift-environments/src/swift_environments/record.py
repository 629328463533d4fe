"""The record of an environment, `environment.json`: what it was created from and what it contains. It is written last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core.system import locked, paths
from swift_environments.requirements import EnvironmentSpec, envs_dir

STAMP = "environment.json"
State = Literal["ready", "unfinished", "its Python is missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The contents of `environment.json`.

    Attributes:
        spec: the requirements that it was created from.
        python: the version of its Python.
        base: the path of the interpreter that it was created from.
        site_packages: the path of its site-packages.
        builder: name and version of the installer.
        made: when it was created (ISO 8601, UTC).
        seconds: how long that took.
        size: its size in bytes.
        freeze: the exact requirements of everything in it except our own code.
        ours: name → version of our own code when it was created.
        schema: version of this format.
    """

    spec: EnvironmentSpec
    python: str
    base: str
    site_packages: str
    builder: str
    made: str
    seconds: float
    size: int
    freeze: tuple[str, ...]
    ours: Mapping[str, str]
    schema: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return asdict(self) | {"spec": self.spec.to_json(), "freeze": list(self.freeze)}


@dataclass(frozen=True, slots=True)
class Environment:
    """A folder in `envs`, and its record if it has one."""

    folder: Path
    record: Record | None

    @classmethod
    def at(cls, folder: Path) -> Environment:
        """Read the environment in `folder`."""
        try:
            data = json.loads((folder / STAMP).read_text(encoding="utf-8"))
            return cls(folder, Record(**{**data, "spec": EnvironmentSpec.from_json(data["spec"]), "freeze": tuple(data["freeze"])}))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(folder, None)

    @property
    def python(self) -> Path:
        """The path of its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def name(self) -> str:
        """The name of the part that it was created for."""
        return self.record.spec.name if self.record else self.folder.name.rpartition("-")[0]

    @property
    def key(self) -> str:
        """The key at the end of the folder's name, derived from the requirements."""
        return self.folder.name.rpartition("-")[2]

    @property
    def state(self) -> State:
        """True if it is usable; the Python that it was created with may have been removed since."""
        if self.record is None:
            return "unfinished"
        return "ready" if os.access(self.python, os.X_OK) else "its Python is missing"

    def serves(self, required: EnvironmentSpec) -> bool:
        """Return whether it meets these requirements, with any Python; specs with the same requirements share an environment."""
        same = {"name": "", "disk": 0}
        return self.record is not None and self.record.spec.to_json() | same == required.to_json() | same

    def log(self) -> Path:
        """Return the path of the installer's log, which is kept if the installation failed."""
        return log_of(self.folder)


def log_of(folder: Path) -> Path:
    """Return the path of the log beside an environment's folder."""
    return folder.with_name(f"{folder.name}.log")


def environments() -> Iterator[Environment]:
    """Yield all environments, finished or not, sorted by name."""
    home = envs_dir()
    for folder in sorted(home.iterdir()) if home.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            yield Environment.at(folder)


def remove(environment: Environment, waiting: Callable[[], None] = lambda: None) -> None:
    """Remove an environment once no process is creating it; `waiting` is called if one is."""
    with locked(environment.folder, waiting):
        clear(environment.folder)
        environment.log().unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove the folder, record first, so that a partly removed environment is never taken for a complete one."""
    (folder / STAMP).unlink(missing_ok=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise paths.disk_error(error, folder) from error


def size_of(folder: Path) -> int:
    """Return the bytes in a folder, without following links."""
    total = 0
    for home, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(home, name)).st_size
            except OSError:  # an installer renames files while they are counted
                continue
    return total
