"""The files of a checkpoint, as its format names them: they are checked and hashed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import FormatSpec, Progress, UsageError
from swift_core.plugins import format_of, matches
from swift_core.system import sha256_of

MANIFEST = "swift.json"
NO_FORMAT = FormatSpec(name="", summary="", recognised_by=(), weights=())  # a folder without weights, such as a data set
_LFS = b"version https://git-lfs"


def format_or_none(folder: Path) -> FormatSpec:
    """Return the format of a folder, `NO_FORMAT` if no installed format recognises it."""
    try:
        return format_of(folder)
    except UsageError:
        return NO_FORMAT


def files_of(folder: Path, spec: FormatSpec) -> Iterator[Path]:
    """Yield the files that make up a checkpoint, sorted; those of runs and checkpoints in its subfolders are not among them."""
    patterns = (*spec.weights, *spec.others)
    inner = {path.parent for name in ("run.json", MANIFEST) for path in folder.rglob(name)} - {folder}
    for path in sorted(folder.rglob("*")):
        if matches(path.name, patterns) and path.name != MANIFEST and path.is_file() and not inner & set(path.parents):
            yield path


def hash_files(folder: Path, progress: Progress | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file that makes up a checkpoint, by relative name."""
    hashes = sha256_of(files_of(folder, format_or_none(folder)), progress)
    return {path.relative_to(folder).as_posix(): value for path, value in hashes.items()}


def check_files(folder: Path, spec: FormatSpec) -> None:
    """Check that each file of a checkpoint can be read, and is not a dangling link, a folder or a Git LFS pointer.

    Raises:
        UsageError: the first problem found; `where` names the file.
    """
    again = "Fetch the checkpoint again."
    for file in sorted(folder.iterdir()):
        if not matches(file.name, (*spec.weights, *spec.others)):
            continue
        if file.is_symlink() and not file.exists():
            raise UsageError(f"a link to {file.readlink()}, which does not exist", code="CKPT-035", where=str(file), hint=again)
        if file.is_dir():
            raise UsageError("a folder, not a file", code="CKPT-036", where=str(file), hint=again)
        try:
            with file.open("rb") as stream:
                start = stream.read(len(_LFS))
        except OSError as error:
            hint = "Check the permissions of the file and its folders."
            raise UsageError(f"can't be read: {error.strerror}", code="CKPT-037", where=str(file), hint=hint) from None
        if start == _LFS:
            raise UsageError(
                "a Git LFS pointer, not the file", code="CKPT-038", where=str(file), hint="Run `git lfs pull`, or fetch the model again."
            )
