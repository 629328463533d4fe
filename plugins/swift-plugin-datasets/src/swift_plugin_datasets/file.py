"""`file`: the rows of files on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract.roles import Progress, RawRow
from swift_plugin_datasets.file_discovery import find_files
from swift_plugin_datasets.options import FileOptions
from swift_plugin_datasets.readers import read


class FileDataset:
    """A file, all data files below a folder, or those that a pattern names; one after the other."""

    def __init__(self, options: FileOptions) -> None:
        self._path = options.path

    def fetch(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """The files.

        Raises:
            UsageError: there is none.
        """
        return find_files(self._path)

    def rows(self) -> Iterator[RawRow]:
        """Each row, in the files' order.

        Raises:
            UsageError: missing, empty, of an unknown format, or damaged; says file and row.
        """
        for path in self.fetch():
            yield from read(path)
