"""Files of projects on the Python package index, listed with hashes and downloaded; nothing is installed or built.

The index is the one that pip is configured with. Its JSON API (PEP 691) is preferred; mirrors with only the HTML API (PEP 503) are
supported too.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin

from swift_core.contract import UsageError, suggestion
from swift_core.system import network
from swift_hub import downloads

if TYPE_CHECKING:
    import httpx2

    from swift_core.contract import Progress

_PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a project; `sha256` is '' if the index does not provide it."""

    name: str  # the file's name
    url: str  # where it is
    sha256: str
    yanked: bool = False  # the publisher withdrew it


def index_url() -> str:
    """Return the index URL from PIP_INDEX_URL, else from `pip config`, else PyPI's."""
    if given := os.environ.get("PIP_INDEX_URL"):
        return given.rstrip("/")
    answer = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)  # global.index-url='https://…'
    found = settings.get("install.index-url") or settings.get("global.index-url")
    return str(ast.literal_eval(found)).rstrip("/") if found else _PYPI


def list_files(project: str, http: httpx2.Client) -> list[IndexFile]:
    """Return all files of a project in the order of the index, which is oldest first.

    Raises:
        UsageError: the index has no such project, or denies access.
        SwiftError: the network or the server failed.
    """
    url = f"{index_url()}/{project}/"
    answer = downloads.get(http, url, accept=_ACCEPT, missing=f"the package index has no project '{project}'")
    base = str(answer.url)
    if "json" in answer.headers.get("Content-Type", ""):
        return [
            IndexFile(item["filename"], urljoin(base, item["url"]), item["hashes"].get("sha256", ""), bool(item.get("yanked")))
            for item in answer.json()["files"]
        ]
    return list(_Page(base).files(answer.text))


def fetch_file(file: IndexFile, folder: Path, http: httpx2.Client, progress: Progress | None = None) -> Path:
    """Download a file of a project into `folder` and verify its hash.

    Raises:
        UsageError, SwiftError: as `downloads.download`; also if the index provides no SHA-256.
    """
    if not file.sha256:
        raise UsageError(
            f"the index provides no SHA-256 for {file.name}",
            code="HUB-011",
            where=downloads.shown(file.url),
            hint="Use another index (PIP_INDEX_URL).",
        )
    return downloads.download(http, file.url, folder / file.name, sha256=file.sha256, progress=progress)


def fetch_from_index(project: str, filename: str, folder: Path, *, sha256: str = "", progress: Progress | None = None) -> Path:
    """Download a file of a project by its name into `folder`.

    Args:
        project: the name of the project.
        filename: the name of the file.
        folder: the folder to write it to.
        sha256: the expected hash; overrides the one of the index.
        progress: as for `downloads.download`.

    Raises:
        UsageError, SwiftError: there is no such file, offline mode is on, or as `fetch_file`.
    """
    network.refuse_offline(filename)
    with downloads.client() as http:
        files = {file.name: file for file in list_files(project, http)}
        if filename not in files:
            raise UsageError(f"the package index has no file '{filename}'", code="HUB-012", where=project, hint=suggestion(filename, files))
        file = files[filename]
        return fetch_file(IndexFile(file.name, file.url, sha256 or file.sha256), folder, http, progress)


class _Page(HTMLParser):
    """Parser for the links of a PEP 503 page: `<a href="…#sha256=…" data-yanked>name</a>`."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self._links: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the attributes of every link."""
        if tag == "a":
            self._links.append(dict(attrs))

    def files(self, text: str) -> Iterator[IndexFile]:
        """Parse a page and yield its files."""
        self.feed(text)
        for link in self._links:
            url, fragment = urldefrag(urljoin(self._base, link.get("href") or ""))
            sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
            yield IndexFile(url.rsplit("/", 1)[-1], url, sha256, "data-yanked" in link)
