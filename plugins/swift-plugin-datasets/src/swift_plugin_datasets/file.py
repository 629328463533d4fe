"""`file`: the rows of a file on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.errors import UsageError, suggestion
from swift_core.roles import Progress, RawRow
from swift_plugin_datasets.options import FileOptions
from swift_plugin_datasets.readers import read


class FileDataset:
    """A file, by its suffix."""

    def __init__(self, options: FileOptions) -> None:
        self._path = Path(options.path.removeprefix("file:")).expanduser()

    def fetch(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """The file.

        Raises:
            UsageError: there is none.
        """
        if self._path.is_dir():
            files = ", ".join(sorted(path.name for path in self._path.iterdir() if path.is_file())[:5])
            raise UsageError(
                "a folder, not a file of rows", where=str(self._path), hint=f"Name a file in it: {files}." if files else "It is empty."
            )
        if not self._path.exists():
            siblings = [path.name for path in self._path.parent.iterdir()] if self._path.parent.is_dir() else []
            raise UsageError(
                "there is no such file", where=str(self._path), hint=suggestion(self._path.name, siblings) or "Check the path."
            )
        return (self._path,)

    def rows(self) -> Iterator[RawRow]:
        """Each row, in the file's order.

        Raises:
            UsageError: missing, empty, of an unknown format, or damaged; says file and row.
        """
        for path in self.fetch():
            yield from read(path)
