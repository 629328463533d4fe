"""Checkpoints of a run, from which it goes on exactly: `checkpoints/step-000050/{model/, state/}`.

`model/` is a checkpoint like any other, `state/` what the strategy needs and `loop.json`. A checkpoint is written aside and renamed,
so that whatever carries the name is whole.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError, UsageError
from swift_core.paths import disk_error, write_json

if TYPE_CHECKING:
    from swift_train.strategy import Strategy

_NAME = re.compile(r"step-\d{6,}")
LOOP = "loop.json"


def together(strategy: Strategy, action: Callable[[], None]) -> None:
    """Do what may fail on one rank alone, such as writing to a full disk. If it does, every rank raises, and none waits for ever."""
    failure: Exception | None = None
    try:
        action()
    except OSError as error:
        failure = disk_error(error, Path(error.filename or "."))
    except Exception as error:
        failure = error
    if strategy.reduce(float(failure is not None), "max"):
        raise failure or SwiftError("another process of the run failed", hint="Its message is in log.txt in the run folder.")


class Checkpoints:
    """Writes a run's checkpoints and keeps the newest.

    Args:
        folder: `checkpoints/` of the run folder, shared by all ranks.
        keep: how many are kept; None keeps all.
    """

    def __init__(self, folder: Path, strategy: Strategy, keep: int | None) -> None:
        self.folder, self.strategy, self.keep = folder, strategy, keep

    def save(self, step: int, state: Mapping[str, Any], write_model: Callable[[Path], None]) -> Path:
        """Write a checkpoint; every rank must call. So is `write_model`, which agrees on failures itself."""
        strategy, target = self.strategy, self.folder / f"step-{step:06d}"
        aside = self.folder / f".{target.name}.partial"

        def prepare() -> None:
            if strategy.writer:
                shutil.rmtree(aside, ignore_errors=True)
                (aside / "state").mkdir(parents=True)

        def finish() -> None:
            if strategy.writer:
                write_json(aside / "state" / LOOP, dict(state))
                _discard(target)
                aside.rename(target)
                for old in whole(self.folder)[: -self.keep] if self.keep else ():
                    _discard(old)

        together(strategy, prepare)
        together(strategy, lambda: strategy.save(aside / "state"))
        write_model(aside / "model")
        together(strategy, finish)
        return target


def whole(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted((path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)), key=lambda path: int(path.name[5:]))


def newest(path: Path) -> Path:
    """The checkpoint that `--resume PATH` means: PATH itself, or the newest of the run folder PATH.

    Raises:
        UsageError: there is none.
    """
    if (path / "state" / LOOP).is_file():
        return path
    found = whole(path / "checkpoints")
    if not found:
        raise UsageError(
            "no checkpoint to go on from", where=str(path), hint="Give a run folder that has checkpoints/step-…, or one of those."
        )
    return found[-1]


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What the loop wrote with the checkpoint."""
    state: dict[str, Any] = json.loads((checkpoint / "state" / LOOP).read_text(encoding="utf-8"))
    return state


def check_same(saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path) -> None:
    """Check that a resumed run is the run that was interrupted.

    Raises:
        UsageError: with each setting that differs.
    """
    changed = [f"  {key}: {saved.get(key)!r} → {now.get(key)!r}" for key in sorted({*saved, *now}) if saved.get(key) != now.get(key)]
    if changed:
        raise UsageError(
            "the run can't go on exactly, since these have changed:\n" + "\n".join(changed),
            where=str(checkpoint),
            hint="Give them as they were; or start anew from the checkpoint's model/ (--model, or --adapter for an adapter).",
        )


def _discard(path: Path) -> None:
    """Remove a checkpoint; it loses its name first, so that none is ever half there."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)
