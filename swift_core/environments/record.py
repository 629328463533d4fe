"""The stamp of an environment, `environment.json`: what it was made of and what is in it. It is written last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core import paths
from swift_core.environments.claim import claim
from swift_core.environments.wanted import Wanted, envs_dir

STAMP = "environment.json"
State = Literal["whole", "unfinished", "its Python is gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the stamp says. `freeze` are exact requirements, without our own code; `size` is in bytes."""

    wanted: Wanted
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
        """Plain JSON values."""
        return asdict(self) | {"wanted": self.wanted.to_json(), "freeze": list(self.freeze)}


@dataclass(frozen=True, slots=True)
class Environment:
    """A folder below `envs`, and its stamp if it has one."""

    folder: Path
    record: Record | None

    @classmethod
    def at(cls, folder: Path) -> Environment:
        """What is there now."""
        try:
            data = json.loads((folder / STAMP).read_text(encoding="utf-8"))
            return cls(folder, Record(**{**data, "wanted": Wanted.from_json(data["wanted"]), "freeze": tuple(data["freeze"])}))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(folder, None)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def name(self) -> str:
        """The name that it was made for."""
        return self.record.wanted.name if self.record else self.folder.name.rpartition("-")[0]

    @property
    def key(self) -> str:
        """The last part of the folder's name."""
        return self.folder.name.rpartition("-")[2]

    @property
    def state(self) -> State:
        """Whether it can be used; the Python it was made with may have been removed since."""
        if self.record is None:
            return "unfinished"
        return "whole" if os.access(self.python, os.X_OK) else "its Python is gone"

    def serves(self, wish: Wanted) -> bool:
        """Whether it is made of what is wanted, with whichever Python; specs that stand on the same share one, whatever its name."""
        same = {"name": "", "disk": 0}
        return self.record is not None and self.record.wanted.to_json() | same == wish.to_json() | same

    def log(self) -> Path:
        """What the installer said; it stays when the environment could not be made."""
        return log_of(self.folder)


def log_of(folder: Path) -> Path:
    """The log beside an environment's folder."""
    return folder.with_name(f"{folder.name}.log")


def environments() -> Iterator[Environment]:
    """All that there are, finished or not, by name."""
    home = envs_dir()
    for folder in sorted(home.iterdir()) if home.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            yield Environment.at(folder)


def remove(environment: Environment, waiting: Callable[[], None] = lambda: None) -> None:
    """Take an environment away, once nobody is making it; `waiting` is called if somebody is."""
    with claim(environment.folder, waiting):
        clear(environment.folder)
        environment.log().unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove the folder, stamp first: whatever happens in between, no half of it counts as whole."""
    (folder / STAMP).unlink(missing_ok=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise paths.disk_error(error, folder) from error


def size_of(folder: Path) -> int:
    """Bytes in a folder, links not followed."""
    total = 0
    for home, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(home, name)).st_size
            except OSError:  # an installer renames files while they are counted
                continue
    return total
