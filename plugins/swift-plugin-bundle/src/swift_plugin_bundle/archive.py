"""Write a bundle: files with their hashes into one archive that Python can run, or several if it gets too large."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from swift_core.system import disk_errors
from swift_plugin_bundle.installer import FORMAT, INDEX, MAIN

MOST = 3_900_000_000  # bytes of an archive; Python before 3.13 can't run larger ones (ZIP64)
_BLOCK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(slots=True)
class Writer:
    """Writes files into parts of at most `most` bytes; `close` writes the index into the first part."""

    path: Path
    most: int = MOST
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)  # of the parts
    _parts: list[zipfile.ZipFile] = field(default_factory=list)
    _left: int = 0

    def add(self, name: str, source: Path) -> None:
        """Add a file under a name; it is cut into pieces if it does not fit into a part."""
        size, digest = source.stat().st_size, hashlib.sha256()
        pieces: list[dict[str, Any]] = []
        with disk_errors(self.path), source.open("rb") as file:
            rest = size
            while rest or not pieces:
                if not self._parts or self._left < min(rest, self.most // 2):
                    self._next()
                length = min(rest, self._left)
                called = name if length == size else f"{name}.piece{len(pieces)}"
                info = zipfile.ZipInfo(called, _EPOCH)
                info.file_size = length
                with self._parts[-1].open(info, "w", force_zip64=length > MOST) as target:
                    left = length
                    while left:
                        block = file.read(min(_BLOCK, left))
                        digest.update(block)
                        target.write(block)
                        left -= len(block)
                pieces.append({"part": len(self._parts) - 1, "name": called})
                rest -= length
                self._left -= length
        self.files[name] = {"sha256": digest.hexdigest(), "size": size, "pieces": pieces}

    def close(self, index: Mapping[str, Any]) -> str:
        """Write the installer and the index, and return the index's SHA-256."""
        if not self._parts:
            self._next()
        whole = {"format": FORMAT, **index, "parts": len(self.paths), "files": self.files}
        text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False).encode()
        with disk_errors(self.path):
            self._parts[0].writestr(zipfile.ZipInfo(MAIN, _EPOCH), (resources(__package__) / "installer.py").read_bytes())
            self._parts[0].writestr(zipfile.ZipInfo(INDEX, _EPOCH), text)
            self.abandon()
        return hashlib.sha256(text).hexdigest()

    def abandon(self) -> None:
        """Close the archives as they are."""
        while self._parts:
            self._parts.pop().close()

    def _next(self) -> None:
        number = len(self.paths)
        self.paths.append(self.path.with_name(f"{self.path.name}.part{number}") if number else self.path)
        self._parts.append(zipfile.ZipFile(self.paths[-1], "w", zipfile.ZIP_STORED, allowZip64=True))
        self._left = self.most
