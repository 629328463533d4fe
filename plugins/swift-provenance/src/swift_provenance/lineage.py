"""The lineage of a checkpoint: the run that made it, what that run started from, and so on back to the first checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swift_core.checkpoints import Checkpoint, Manifest
from swift_core.contract import DataChoice, Run
from swift_core.system import made_by, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A checkpoint or file, and how it was made as far as that is recorded here.

    Attributes:
        path: where it is.
        reference: as the run that used it was given it; '' for the one that was asked for.
        hash: its content hash as recorded by whoever used or made it; '' if nobody did.
        manifest: its `swift.json`.
        folder: the folder of the run that made it.
        run: that run.
    """

    path: Path
    reference: str = ""
    hash: str = ""
    manifest: Manifest | None = None
    folder: Path | None = None
    run: Run | None = None

    @property
    def data(self) -> tuple[DataChoice, ...]:
        """The data sets of the run that made it."""
        return self.run.datasets if self.run else ()


def history(path: Path, runs: Path) -> Iterator[Made]:
    """Yield a checkpoint and everything it was made from, the nearest first.

    Args:
        path: the checkpoint, or a file that a run made.
        runs: the folder in which runs are looked for whose output is elsewhere.

    Raises:
        SwiftError, ValueError, TypeError, KeyError, OSError: a record can't be read.
    """
    seen: set[Path] = set()
    waiting = [(path, "", "")]
    while waiting:
        place, reference, digest = waiting.pop(0)
        resolved = place.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        folder = maker_of(resolved, runs)
        run = read_run(folder) if folder else None
        manifest = Checkpoint.at(resolved).manifest if resolved.is_dir() else None
        known = digest or (manifest.hash if manifest else "")
        yield Made(path=place, reference=reference, hash=known, manifest=manifest, folder=folder, run=run)
        sources = [source for source in (run.model, *run.adapters.values()) if source] if run else []
        waiting += [(Path(source.path), source.reference, source.hash) for source in sources]
        if manifest and (base := manifest.base.get("path")):
            waiting.append((Path(base), manifest.base.get("reference", ""), manifest.base.get("hash", "")))


def maker_of(path: Path, runs: Path | None = None) -> Path | None:
    """Return the folder of the run that made a checkpoint: the run folder that it is in, or one in `runs` whose result it is."""
    inside = (parent for parent in list(path.parents)[:3] if (parent / "run.json").is_file())
    if found := next(inside, None):
        return found
    results = (file.parent for file in runs.glob("*/result.json")) if runs else ()
    return next((folder for folder in results if (made := made_by(folder)) and made.resolve() == path.resolve()), None)
