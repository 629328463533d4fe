"""Remove run folders by age or subject; each leaves a tombstone with the hashes of what was in it, and an entry in the log."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import SwiftError
from swift_core.system import disk_errors, made_by, read_run, sha256_of, size_of, write_json
from swift_plugin_audit import facts
from swift_plugin_audit.log import Draft, Log
from swift_plugin_audit.places import Places

TOMBSTONE = "tombstone.json"
_DAY = 86_400.0
_TEXTS = ("*.json", "*.jsonl", "*.txt", "*.yaml", "*.md", "*.html", "*.csv")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run folder that may be removed, with its size in bytes."""

    folder: Path
    size: int


def find(runs: Path, *, days: float | None, subject: str) -> Iterator[Ended]:
    """Yield the folders of ended runs that are older than `days` and hold the text `subject` in a text file.

    A run whose process lives is not ended; one whose result is the base of a remaining run is kept, too.
    """
    folders = [path.parent for path in sorted(runs.glob("**/run.json"))]
    ended = [folder for folder in folders if (folder / "result.json").is_file()]
    chosen = [folder for folder in ended if _old(folder, days) and _about(folder, subject)]
    used = {base for folder in folders if folder not in chosen for base in _bases(folder)}
    for folder in chosen:
        made = made_by(folder)
        if not (made and made.resolve() in used):
            yield Ended(folder, size_of(folder))


def remove(ended: Ended, places: Places, reason: str) -> None:
    """Record the removal in the log, then remove everything in the folder but the tombstone.

    Raises:
        SwiftError: the log can't be written (nothing is removed then), or the folder can't be removed.
    """
    folder = ended.folder
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    removed = {path.relative_to(folder).as_posix(): value for path, value in sha256_of(files).items()}
    about: dict[str, Any] = {"folder": str(folder.absolute()), "bytes": ended.size, "removed": removed, "reason": reason}
    head = Log(places).append([Draft("run-pruned", folder.absolute().name, {"who": facts.who(), "pruned": about})])
    entry = {"log": head.log, "count": head.count, "hash": head.hash}
    write_json(folder / TOMBSTONE, {"schema": 1, "run": folder.absolute().name, "time": head.time, **about, "entry": entry})
    with disk_errors(folder):
        for path in folder.iterdir():
            if path.name == TOMBSTONE:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _old(folder: Path, days: float | None) -> bool:
    return days is None or (folder / "result.json").stat().st_mtime < time.time() - days * _DAY


def _about(folder: Path, subject: str) -> bool:
    if not subject:
        return True
    escaped = json.dumps(subject)[1:-1]
    for pattern in _TEXTS:
        for path in folder.rglob(pattern):
            with path.open(encoding="utf-8", errors="replace") as file:
                if any(subject in line or escaped in line for line in file):
                    return True
    return False


def _bases(folder: Path) -> Iterator[Path]:
    try:
        run = read_run(folder)
    except (SwiftError, ValueError, TypeError, KeyError):
        return
    for source in (run.model, *run.adapters.values()):
        if source:
            yield Path(source.path).resolve()
