"""A local stand-in for Hugging Face's API, as much as huggingface_hub needs to download and upload models: set HF_ENDPOINT to its `url`."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = 10_000  # bytes; larger files are LFS files, with a SHA-256


@dataclass
class HuggingFaceServer:
    """Serves repositories while the `with` block lasts.

    Attributes:
        repositories: repository → path → contents.
        private: the private repositories.
        requests: the received requests, as (method, path).
        tokens: the tokens that were sent.
        sent: the bytes of files that were sent.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)
    sent: int = 0

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def handle_request(self) -> None:
                owner._answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = handle_request

            def log_message(self, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path.partition("?")[0].strip("/"))
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append((request.command, path))
        self.tokens |= {request.headers[name].removeprefix("Bearer ") for name in ("Authorization",) if request.headers.get(name)}
        if request.command == "PUT":
            self.blobs[path.removeprefix("blobs/")] = body
            _json(request, {})
        elif path == "api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.repositories[name] = {}
            self.private |= {name} if asked.get("private") or asked.get("visibility") == "private" else set()
            _json(request, {"url": f"{self.url}/{name}"})
        elif path == "api/validate-yaml":
            _json(request, {"errors": [], "warnings": []})
        elif path == "api/whoami-v2":
            _json(request, {"name": "org", "type": "user", "orgs": []})
        else:
            self._repository(request, path, body)

    def _repository(self, request: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        parts = path.removeprefix("api/models/").split("/")
        name = f"{parts[0]}/{parts[1].removesuffix('.git')}" if len(parts) > 1 else parts[0]
        files, rest = self.repositories.get(name), parts[2:]
        if files is None:
            _json(request, {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif not path.startswith("api/") and rest[:1] == ["resolve"]:
            self._file(request, files["/".join(rest[2:])])
        elif rest[:1] == ["preupload"]:
            asked = json.loads(body)["files"]
            _json(
                request,
                {"files": [item | {"uploadMode": "lfs" if item["size"] > _LARGE else "regular", "shouldIgnore": False} for item in asked]},
            )
        elif rest[:3] == ["info", "lfs", "objects"]:
            objects = [item | {"actions": {"upload": {"href": f"{self.url}/blobs/{item['oid']}"}}} for item in json.loads(body)["objects"]]
            _json(request, {"transfer": "basic", "objects": objects})
        elif rest[:1] == ["commit"]:
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.blobs[value["oid"]]
            _json(request, {"commitOid": COMMIT, "commitUrl": f"{self.url}/{name}/commit/{COMMIT}"})
        elif rest[:1] == ["tree"]:
            _json(request, [_entry(file, data) for file, data in files.items()])
        else:
            siblings = [{"rfilename": file} for file in files]
            _json(request, {"id": name, "modelId": name, "sha": COMMIT, "private": name in self.private, "siblings": siblings})

    def _file(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        digest = (hashlib.sha256 if len(data) > _LARGE else hashlib.sha1)(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}
        first, _, last = request.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if part := first.isdigit():
            whole, data = len(data), data[int(first) : int(last or len(data)) + 1]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(data) - 1}/{whole}"
        headers["Content-Length"] = str(len(data))
        request.send_response(206 if part else 200)
        for key, value in headers.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)
            self.sent += len(data)


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if len(data) > _LARGE:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


def _json(request: BaseHTTPRequestHandler, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(value).encode()
    request.send_response(status)
    for key, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(key, text)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
