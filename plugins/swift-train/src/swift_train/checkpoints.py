"""Write the checkpoints from which a run resumes exactly: `checkpoints/step-000050/{model/, state/, run.json, checkpoint.json}`.

`model/` is an ordinary model checkpoint, `state/` the state of the strategy and `loop.json`, `run.json` the run that wrote it.
`checkpoint.json` is written last: the step, the metrics of its evaluation, and the SHA-256 of every other file. Everything is written to a
temporary folder, synced to disk and renamed, so a folder with the final name is complete; the hashes detect disks that lose data.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import DiskFull, NotWritable, PeerFailed
from swift_core.system import disk_error, sha256, write_json

if TYPE_CHECKING:
    from swift_train.strategy import Strategy

_NAME = re.compile(r"step-\d{6,}")
LOOP, RUN, RECORD = "loop.json", "run.json", "checkpoint.json"
_SEE_LOG = "See its error in log.txt in the run folder."
_DISK_FULL, _NOT_WRITABLE, _OTHER = 1.0, 2.0, 3.0  # kinds of failure, as the ranks exchange them


def run_on_all_ranks(strategy: Strategy, folder: Path, action: Callable[[], None]) -> None:
    """Run an action that may fail on one rank only, such as writing into `folder`. If it fails anywhere, every rank raises. Collective.

    Raises:
        DiskFull, NotWritable: the disk is full, or `folder` can't be written, on some rank.
        PeerFailed: the action failed on another rank for any other reason.
    """
    failure: Exception | None = None
    try:
        action()
    except Exception as error:
        failure = disk_error(error, folder)
    worst = strategy.reduce(_kind(failure), "max")
    if failure:
        raise failure
    if worst == _DISK_FULL:
        hint = "Free some space and run the command again."
        raise DiskFull("the disk is full, as reported by another process of the run", code="TRAIN-014", where=str(folder), hint=hint)
    if worst == _NOT_WRITABLE:
        raise NotWritable("another process of the run can't write to this folder", code="TRAIN-015", where=str(folder), hint=_SEE_LOG)
    if worst == _OTHER:
        raise PeerFailed("another process of the run failed", code="TRAIN-016", hint=_SEE_LOG)


def _kind(failure: Exception | None) -> float:
    if failure is None:
        return 0.0
    return _DISK_FULL if isinstance(failure, DiskFull) else _NOT_WRITABLE if isinstance(failure, NotWritable) else _OTHER


@dataclass(frozen=True, slots=True)
class Ranking:
    """Which evaluation is the best one: by a metric, of which less or more is better."""

    metric: str = "loss"  # of the evaluation
    greater: bool = False  # more is better
    late: bool = False  # it is a score of saved checkpoints, which comes after their step

    def better(self, value: float, than: float | None, by: float = 0.0) -> bool:
        """Return whether a value is finite, and better than another one (None: there is none) by more than a margin."""
        return isfinite(value) and (than is None or (value > than + by if self.greater else value < than - by))

    def best(self, checkpoints: Sequence[Path]) -> Path | None:
        """Return the best checkpoint, the earliest of several; None if none was evaluated."""
        found, best = None, None
        for path in checkpoints:
            value = read_record(path).get("metrics", {}).get(self.metric)
            if value is not None and self.better(value, best):
                found, best = path, value
        return found


class Checkpoints:
    """Writes a run's checkpoints; keeps the newest ones and the best one.

    Args:
        folder: `checkpoints/` of the run folder, shared by all ranks.
        keep: number of newest checkpoints to keep; None keeps all.
        ranking: decides which is the best one.
        run: the run that writes them, as JSON.
        awaited: checkpoints that are kept as well, by step, since their score is not known yet.
    """

    def __init__(
        self, folder: Path, strategy: Strategy, *, keep: int | None, ranking: Ranking, run: Mapping[str, Any], awaited: Mapping[int, Path]
    ) -> None:
        self.folder, self.strategy, self.keep, self.ranking, self.run, self.awaited = folder, strategy, keep, ranking, run, awaited

    def save(
        self, step: int, state: Mapping[str, Any], metrics: Mapping[str, float], write_model: Callable[[Path], None], *, whole: bool = True
    ) -> Path:
        """Write a checkpoint. Collective.

        Args:
            step, state: the step and state of the loop.
            metrics: of the evaluation at this step; empty if it was not evaluated.
            write_model: writes the model into a folder; called on every rank, and fails on every rank if it fails on one.
            whole: whether a run can be resumed from it; otherwise it has the model alone.

        Raises:
            DiskFull, NotWritable: on every rank; the partial checkpoint is removed.
        """
        strategy, target = self.strategy, self.folder / f"step-{step:06d}"
        partial = self.folder / f".{target.name}.partial"

        def prepare() -> None:
            if strategy.writer:
                self._remove_partial()
                (partial / "state").mkdir(parents=True)

        def finish() -> None:
            if strategy.writer:
                write_json(partial / "state" / LOOP, {**state, "whole": whole})
                write_json(partial / RUN, dict(self.run))
                _seal(partial, step, metrics)
                _remove(target)
                partial.rename(target)
                _fsync(self.folder)
                self.prune()

        try:
            run_on_all_ranks(strategy, partial, prepare)
            if whole:
                run_on_all_ranks(strategy, partial, lambda: strategy.save(partial / "state"))
            write_model(partial / "model")
            run_on_all_ranks(strategy, partial, finish)
        except Exception:
            if strategy.writer:
                self._remove_partial()
            raise
        return target

    def prune(self) -> None:
        """Remove the checkpoints that are neither among the newest nor the best one, nor may become it."""
        if not self.strategy.writer:
            return
        found = complete_checkpoints(self.folder)
        kept = {self.ranking.best(found), *self.awaited.values()}
        for old in found[: -self.keep] if self.keep else ():
            if old not in kept:
                _remove(old)

    def _remove_partial(self) -> None:
        """Remove unfinished checkpoints, of this process or of one that was killed."""
        for partial in self.folder.glob(".step-*"):
            shutil.rmtree(partial, ignore_errors=True)


def complete_checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, oldest first."""
    return sorted((path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)), key=lambda path: int(path.name[5:]))


def read_record(checkpoint: Path) -> dict[str, Any]:
    """Read `checkpoint.json`; return an empty dict if it is missing or damaged."""
    with suppress(OSError, ValueError):
        record = json.loads((checkpoint / RECORD).read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}
    return {}


def integrity_error(checkpoint: Path) -> str:
    """Compare a checkpoint's files with their recorded hashes; return a short description of the first error, or '' if there is none."""
    files = read_record(checkpoint).get("files")
    if not files:
        return f"{RECORD} is missing or damaged"
    missing = [name for name in files if not (checkpoint / name).is_file()]
    if missing:
        return f"{missing[0]} is missing"
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(sha256, [checkpoint / name for name in files])
        return next((f"{name} is damaged" for name, found in zip(files, hashes, strict=True) if found != files[name]), "")


def _seal(folder: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Sync all files to disk and record their hashes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(_sync_and_hash, paths))
    files = {path.relative_to(folder).as_posix(): digest for path, digest in zip(paths, hashes, strict=True)}
    write_json(
        folder / RECORD,
        {"schema": 1, "step": step, "metrics": {name: value for name, value in metrics.items() if isfinite(value)}, "files": files},
    )
    for path in (folder / RECORD, *{path.parent for path in paths}, folder):
        _fsync(path)


def _sync_and_hash(path: Path) -> str:
    _fsync(path)
    return sha256(path)


def _fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk, so that they survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """Remove a checkpoint; it is renamed first, so that no incomplete one ever has its name."""
    if path.exists():
        renamed = path.with_name(f".{path.name}.old")
        shutil.rmtree(renamed, ignore_errors=True)
        path.rename(renamed)
        shutil.rmtree(renamed, ignore_errors=True)


def recovery_hint(checkpoint: Path, folder: Path) -> str:
    """Explain how to get the trained model if the output could not be written."""
    model, run = shlex.quote(str(checkpoint.absolute() / "model")), shlex.quote(str(folder.absolute()))
    return (
        f"The trained model is in {model}, an ordinary checkpoint. To write it elsewhere: "
        f"cp -r {model} FOLDER, or the same command with --resume {run} --output FOLDER"
    )
