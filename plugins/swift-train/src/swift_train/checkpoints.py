"""Checkpoints of a run, from which it goes on exactly: `checkpoints/step-000050/{model/, state/, run.json, checkpoint.json}`.

`model/` is a checkpoint like any other, `state/` what the strategy needs and `loop.json`, `run.json` the run that wrote it.
`checkpoint.json` comes last: the step, the held-out loss, and the SHA-256 of every other file. All of it is written aside, brought to
the disk and renamed, so that whatever carries the name is whole; the hashes are for disks that lose what they have taken.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.errors import DiskFull, NotWritable, PeerFailed
from swift_core.paths import disk_error, sha256, write_json

if TYPE_CHECKING:
    from swift_train.strategy import Strategy

_NAME = re.compile(r"step-\d{6,}")
LOOP, RUN, RECORD = "loop.json", "run.json", "checkpoint.json"
_FULL, _REFUSED, _OTHER = 1.0, 2.0, 3.0  # what the ranks tell each other of a failure


def run_on_all_ranks(strategy: Strategy, folder: Path, action: Callable[[], None]) -> None:
    """Do what may fail on one rank alone, such as writing into `folder` on a full disk. If it does, every rank raises, and none waits."""
    failure: Exception | None = None
    try:
        action()
    except Exception as error:
        failure = disk_error(error, folder)
    kind = 0.0 if failure is None else _FULL if isinstance(failure, DiskFull) else _REFUSED if isinstance(failure, NotWritable) else _OTHER
    worst = strategy.reduce(kind, "max")
    if failure:
        raise failure
    if worst == _FULL:
        hint = "Free some space and run the command again."
        raise DiskFull("the disk is full, as another process of the run found", where=str(folder), hint=hint)
    if worst == _REFUSED:
        hint = "Its message is in log.txt in the run folder."
        raise NotWritable("another process of the run failed: it can't write here", where=str(folder), hint=hint)
    if worst == _OTHER:
        raise PeerFailed("another process of the run failed", hint="Its message is in log.txt in the run folder.")


class Checkpoints:
    """Writes a run's checkpoints and keeps the newest, and the one with the lowest held-out loss.

    Args:
        folder: `checkpoints/` of the run folder, shared by all ranks.
        keep: how many of the newest are kept; None keeps all.
        run: the run that writes them, as JSON.
    """

    def __init__(self, folder: Path, strategy: Strategy, keep: int | None, run: Mapping[str, Any]) -> None:
        self.folder, self.strategy, self.keep, self.run = folder, strategy, keep, run

    def save(self, step: int, state: Mapping[str, Any], score: float | None, write_model: Callable[[Path], None]) -> Path:
        """Write a checkpoint; every rank must call. So is `write_model`, which agrees on failures itself.

        Args:
            step, state: where the loop is.
            score: the held-out loss at this very step, where it was taken.

        Raises:
            DiskFull, NotWritable: on every rank; nothing is left of it.
        """
        strategy, target = self.strategy, self.folder / f"step-{step:06d}"
        aside = self.folder / f".{target.name}.partial"

        def prepare() -> None:
            if strategy.writer:
                self._sweep()
                (aside / "state").mkdir(parents=True)

        def finish() -> None:
            if strategy.writer:
                write_json(aside / "state" / LOOP, dict(state))
                write_json(aside / RUN, dict(self.run))
                _seal(aside, step, score)
                _discard(target)
                aside.rename(target)
                _settle(self.folder)
                self._prune()

        try:
            run_on_all_ranks(strategy, aside, prepare)
            run_on_all_ranks(strategy, aside, lambda: strategy.save(aside / "state"))
            write_model(aside / "model")
            run_on_all_ranks(strategy, aside, finish)
        except Exception:
            if strategy.writer:
                self._sweep()
            raise
        return target

    def _prune(self) -> None:
        """Remove the checkpoints that are neither among the newest nor the best."""
        found = complete_checkpoints(self.folder)
        kept = best_checkpoint(found)
        for old in found[: -self.keep] if self.keep else ():
            if old != kept:
                _discard(old)

    def _sweep(self) -> None:
        """Remove what was begun and not finished, by this process or one that was killed."""
        for litter in self.folder.glob(".step-*"):
            shutil.rmtree(litter, ignore_errors=True)


def complete_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted((path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)), key=lambda path: int(path.name[5:]))


def best_checkpoint(checkpoints: list[Path]) -> Path | None:
    """The checkpoint with the lowest held-out loss, where that was taken."""
    scores = {path: read_record(path).get("heldout_loss") for path in checkpoints}
    scored = {path: score for path, score in scores.items() if score is not None}
    return min(scored, key=lambda path: scored[path]) if scored else None


def read_record(checkpoint: Path) -> dict[str, Any]:
    """Its `checkpoint.json`, empty where that is missing or damaged."""
    with suppress(OSError, ValueError):
        mark = json.loads((checkpoint / RECORD).read_text(encoding="utf-8"))
        return mark if isinstance(mark, dict) else {}
    return {}


def integrity_error(checkpoint: Path) -> str:
    """What is wrong with a checkpoint, in a few words; empty where every file is as it was written."""
    files = read_record(checkpoint).get("files")
    if not files:
        return f"{RECORD} is missing or damaged"
    missing = [name for name in files if not (checkpoint / name).is_file()]
    if missing:
        return f"{missing[0]} is missing"
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(sha256, [checkpoint / name for name in files])
        return next((f"{name} is damaged" for name, made in zip(files, hashes, strict=True) if made != files[name]), "")


def _seal(folder: Path, step: int, score: float | None) -> None:
    """Bring all files to the disk, and write what they are."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(_settled, paths))
    files = {path.relative_to(folder).as_posix(): made for path, made in zip(paths, hashes, strict=True)}
    write_json(folder / RECORD, {"schema": 1, "step": step, "heldout_loss": score, "files": files})
    for path in (folder / RECORD, *{path.parent for path in paths}, folder):
        _settle(path)


def _settled(path: Path) -> str:
    _settle(path)
    return sha256(path)


def _settle(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk itself: a computer may lose its power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _discard(path: Path) -> None:
    """Remove a checkpoint; it loses its name first, so that none is ever half there."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
