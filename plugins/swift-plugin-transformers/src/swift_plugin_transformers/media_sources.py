"""Media in requests: read from where the server allows it, and passed with the prompt to the model.

A data: URL holds the file itself. Files are read only below the folder that the server was started with, and addresses are fetched only
from the hosts it was started with: whoever may send requests must not read the server's files or reach its network.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from swift_core.contract import UsageError
from swift_core.system import network

if TYPE_CHECKING:
    from swift_train.media.processor import Content, MediaProcessor
    from torch import Tensor

MAX_BYTES = {"image": 20 << 20, "audio": 50 << 20, "video": 200 << 20}  # of a file that is fetched
_CALLED = {"image": "image", "audio": "audio file", "video": "video"}
_TIMEOUT = 10.0  # seconds
_WHERE = "messages"


class MediaPrompt(list[int]):
    """Token ids of a conversation with media, and the model's further inputs."""

    def __init__(self, ids: Sequence[int], inputs: Mapping[str, Tensor]) -> None:
        super().__init__(ids)
        self.inputs = inputs


class MediaSources:
    """Reads the media that requests name.

    Args:
        processor: of the model.
        folder: files below it may be named as file:// URLs; None for no files.
        domains: hosts from which files may be fetched.
    """

    def __init__(self, processor: MediaProcessor | None, folder: Path | None = None, domains: Sequence[str] = ()) -> None:
        self._processor = processor
        self._folder, self._domains = folder.resolve() if folder else None, frozenset(domains)

    def read(self, kind: str, url: str) -> Content:
        """Return the decoded file at a URL.

        Raises:
            UsageError: the server does not read such URLs, or the file can't be decoded.
        """
        assert self._processor is not None
        address = urlsplit(url[:4096] if url.startswith("data:") else url)
        if address.scheme == "data":
            return self._processor.load(kind, _decoded(url, kind), f"the {_CALLED[kind]} of a data: URL")
        if address.scheme == "file":
            return self._processor.load(kind, str(self._allowed(Path(unquote(address.path)), kind)))
        if address.scheme in ("http", "https"):
            return self._processor.load(kind, self._fetched(url, address.hostname or "", kind), f"the {_CALLED[kind]} at {url[:100]!r}")
        message = f"{_CALLED[kind]}: the URL must begin with data:, file:, http: or https:, not {url[:40]!r}"
        raise UsageError(message, code="MODEL-038", where=_WHERE)

    def _allowed(self, path: Path, kind: str) -> Path:
        found = path.resolve()
        if self._folder is None or not found.is_relative_to(self._folder) or not found.is_file():
            hint = f"Send the {_CALLED[kind]} as a data: URL, or start the server with --media-folder FOLDER."
            raise UsageError(f"the server does not read {str(path)[:200]!r}", code="MODEL-039", where=_WHERE, hint=hint)
        return found

    def _fetched(self, url: str, host: str, kind: str) -> bytes:
        import httpx2

        if host not in self._domains or network.offline():
            hint = f"Send the {_CALLED[kind]} as a data: URL, or start the server with --media-domain HOST."
            raise UsageError(f"the server fetches no files from {host!r}", code="MODEL-040", where=_WHERE, hint=hint)
        content, limit = bytearray(), MAX_BYTES[kind]
        try:
            with httpx2.stream("GET", url, follow_redirects=False, timeout=_TIMEOUT) as response:
                if response.status_code != httpx2.codes.OK:
                    raise UsageError(f"{url[:100]!r} answered with status {response.status_code}", code="MODEL-041", where=_WHERE)
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > limit:
                        message = f"the {_CALLED[kind]} at {url[:100]!r} is larger than {limit >> 20} MB"
                        raise UsageError(message, code="MODEL-042", where=_WHERE)
        except httpx2.HTTPError as error:
            raise UsageError(f"the {_CALLED[kind]} at {url[:100]!r} can't be fetched: {error}", code="MODEL-043", where=_WHERE) from None
        return bytes(content)


def _decoded(url: str, kind: str) -> bytes:
    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("it must contain base64")
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(
            f"the data: URL of the {_CALLED[kind]} can't be decoded: {error}",
            code="MODEL-044",
            where=_WHERE,
            hint="Write data:TYPE;base64,…, such as data:image/png;base64,….",
        ) from None
