"""The dataset `file`: rows of local files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import Progress, RawRow
from swift_plugin_datasets.file_discovery import find_files
from swift_plugin_datasets.file_parts import Place, file_parts, part_rows
from swift_plugin_datasets.options import FileOptions
from swift_plugin_datasets.readers import read


class FileDataset:
    """Read a file, all data files below a folder, or those that match a glob pattern, one after the other."""

    def __init__(self, options: FileOptions) -> None:
        self._path = options.path

    def fetch(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """Return the paths of the data files.

        Raises:
            UsageError: there is no data file.
        """
        return find_files(self._path)

    def rows(self) -> Iterator[RawRow]:
        """Yield every row, in the order of the files.

        Raises:
            UsageError: a file is missing, empty, damaged or of an unknown format; `where` gives the file and row.
        """
        for path in self.fetch():
            yield from read(path)

    def parts(self, rows: int) -> Iterator[Place]:
        """Yield the places of parts of about `rows` rows; see `swift_data.parts.PartedDataset`."""
        for path in self.fetch():
            yield from file_parts(path, rows)

    def part_rows(self, place: Place) -> Iterator[RawRow]:
        """Yield the rows of a part."""
        return part_rows(place)
