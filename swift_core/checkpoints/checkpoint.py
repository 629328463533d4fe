"""A checkpoint as one object: what is read of its folder is read once in a process, until a file in it changes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from swift_core.checkpoints.files import MANIFEST, check_files, files_of, format_or_none, hash_files
from swift_core.checkpoints.manifest import Manifest, read_manifest
from swift_core.contract import FormatSpec, Progress, UsageError
from swift_core.plugins import format_of, matches
from swift_core.system import paths, sha256_of

_State = tuple[tuple[str, int, int, int], ...]
_known: dict[Path, tuple[_State, Checkpoint]] = {}


class Checkpoint:
    """A checkpoint folder. Use `Checkpoint.at(folder)`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hash = ""

    @classmethod
    def at(cls, folder: Path | str) -> Checkpoint:
        """Return the checkpoint in a folder, the same object until a file in the folder changes."""
        path = Path(folder).absolute()
        state = _state(path)
        if path not in _known or _known[path][0] != state:
            _known[path] = state, cls(path)
        return _known[path][1]

    @cached_property
    def spec(self) -> FormatSpec:
        """The format.

        Raises:
            UsageError: see `swift_core.plugins.format_of`.
        """
        return format_of(self.folder)

    @property
    def format(self) -> str:
        """The name of the format."""
        return self.spec.name

    @cached_property
    def manifest(self) -> Manifest | None:
        """The contents of `swift.json`, or None if there is none."""
        return read_manifest(self.folder)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The contents of `config.json`, or {} if there is none.

        Raises:
            UsageError: it is not a JSON object.
        """
        path = self.folder / "config.json"
        if not path.is_file():
            return {}
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"not JSON: {error}", code="CKPT-013", where=str(path), hint="Fetch the file again.") from error
        if not isinstance(config, dict):
            raise UsageError("not a JSON object", code="CKPT-014", where=str(path), hint="Fetch the file again.")
        return config

    @property
    def quantization(self) -> str:
        """The method that the weights are quantized with; '' if they are not."""
        return str(self.spec.quantization.load()(self.config)) if self.spec.quantization else ""

    @cached_property
    def head(self) -> str:
        """The output layer, as in `TaskSpec.head`; '' if it predicts the next token."""
        return str(self.spec.head.load()(self.folder)) if self.spec.head else ""

    @property
    def base(self) -> str:
        """The reference of the base model that an adapter records; '' if it records none."""
        return str(self.spec.base.load()(self.folder)) if self.spec.base else ""

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files that make up the checkpoint."""
        return tuple(files_of(self.folder, self._file_patterns))

    @property
    def weights(self) -> list[Path]:
        """The files with the tensors."""
        return [path for path in self.files if matches(path.name, self._file_patterns.weights)]

    @cached_property
    def _file_patterns(self) -> FormatSpec:
        """The format, whose patterns name the files; `NO_FORMAT` for a folder that no installed format recognises."""
        return format_or_none(self.folder)

    def check(self) -> None:
        """Check that the checkpoint is complete, as its format requires.

        Raises:
            UsageError: the first problem found; `where` names the file.
        """
        check_files(self.folder, self.spec)
        if self.spec.check:
            self.spec.check.load()(self.folder)

    def hash(self, progress: Progress | None = None) -> str:
        """Return the identity: one hash over the names and contents of the files.

        Args:
            progress: called with the bytes read and the total, if large files must be read.
        """
        if not self._hash:
            recorded = self.manifest.hash if self.manifest and self.manifest.files and not self._replaced(self.manifest, progress) else ""
            self._hash = recorded or paths.digest(hash_files(self.folder, progress))
        return self._hash

    def _replaced(self, manifest: Manifest, progress: Progress | None) -> bool:
        """Return whether weights differ from those in the manifest; only files that are newer than it are read."""
        written = (self.folder / MANIFEST).stat().st_mtime
        newer = [file for file in self.weights if file.stat().st_mtime > written]
        found = {file.relative_to(self.folder).as_posix(): value for file, value in sha256_of(newer, progress).items()}
        return any(manifest.files.get(name, value) != value for name, value in found.items())


def _state(folder: Path) -> _State:
    """Return what changes if a file in the folder does; empty for a folder that does not exist."""
    if not folder.is_dir():
        return ()
    found = []
    for entry in os.scandir(folder):
        status = os.stat(entry.path) if os.path.exists(entry.path) else entry.stat(follow_symlinks=False)
        found.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(sorted(found))
