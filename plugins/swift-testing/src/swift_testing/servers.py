"""A local web server for tests of downloads: files with range requests, a package index, and faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class FileServer:
    """Serves files while the `with` block lasts.

    Attributes:
        files: path → contents.
        cuts: byte counts; each file request takes one and the connection is cut after that many bytes.
        requests: the received requests, as (path, Range header).
        html: whether the index answers in HTML, like mirrors without the JSON API.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    html: bool = False

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner._answer(self)

            def log_message(self, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def index(self) -> str:
        """The URL of the package index, for PIP_INDEX_URL."""
        return f"{self.url}/simple"

    def add(self, project: str, filename: str, contents: bytes, *, sha256: str = "", yanked: bool = False) -> None:
        """Add a file to the index, with its actual SHA-256 unless another is given."""
        path = f"/files/{filename}"
        self.files[path] = contents
        page = f"/simple/{project}/"
        files = json.loads(self.files.get(page, b'{"files": []}'))["files"]
        hashes = {"sha256": sha256 or hashlib.sha256(contents).hexdigest()}
        files.append({"filename": filename, "url": f"../..{path}", "hashes": hashes, "yanked": yanked})
        self.files[page] = json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": files}).encode()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        requested = request.headers.get("Range", "")
        self.requests.append((request.path, requested))
        contents = self.files.get(request.path)
        if contents is None:
            request.send_error(404)
            return
        if request.path.startswith("/simple/"):
            self._page(request, contents)
            return
        start = int(requested.removeprefix("bytes=").partition("-")[0]) if requested else 0
        if start and start >= len(contents):
            request.send_error(416)
            return
        request.send_response(206 if requested else 200)
        request.send_header("Content-Length", str(len(contents) - start))
        request.end_headers()
        body = contents[start:]
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)
        request.close_connection = True

    def _page(self, request: BaseHTTPRequestHandler, contents: bytes) -> None:
        kind = "application/vnd.pypi.simple.v1+json"
        if self.html:
            kind = "text/html"
            links = (
                f'<a href="{item["url"]}#sha256={item["hashes"]["sha256"]}">{item["filename"]}</a>'
                for item in json.loads(contents)["files"]
            )
            contents = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(contents)))
        request.end_headers()
        request.wfile.write(contents)
