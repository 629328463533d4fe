"""Download files from the network atomically and verified by hash; interrupted downloads are resumed.

Index URLs, certificates and proxies are taken from the configuration of pip and requests.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import SwiftError, UsageError
from swift_core.system import paths

if TYPE_CHECKING:
    import httpx2

    from swift_core.contract import Progress

_TRIES = 4


def client() -> httpx2.Client:
    """Return an HTTP client with the certificates of PIP_CERT or REQUESTS_CA_BUNDLE, else those of the system."""
    import ssl

    import httpx2

    bundle = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")
    verify: ssl.SSLContext | bool = True
    if bundle and not os.path.exists(bundle):
        raise UsageError(
            "the certificate file does not exist", code="HUB-004", where=bundle, hint="Correct PIP_CERT or REQUESTS_CA_BUNDLE."
        )
    if bundle:
        verify = ssl.create_default_context(capath=bundle) if os.path.isdir(bundle) else ssl.create_default_context(cafile=bundle)
    return httpx2.Client(verify=verify, follow_redirects=True, timeout=30)


def get(http: httpx2.Client, url: str, *, accept: str, missing: str) -> httpx2.Response:
    """Fetch a small document.

    Args:
        http: the client.
        url: the URL.
        accept: the accepted media types.
        missing: the error message if the server has no such document.

    Raises:
        UsageError: there is no such document, or the server refuses the credentials.
        SwiftError: the network or the server failed.
    """
    import httpx2

    try:
        answer = http.get(url, headers={"Accept": accept})
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise no_network(error, url) from error
    check_answer(answer, missing=missing)
    return answer


def download(http: httpx2.Client, url: str, target: Path, *, sha256: str, progress: Progress | None = None) -> Path:
    """Download `url` to `target`. An incomplete download is kept next to it, and resumed by the next call.

    Two processes must not download to one target at the same time: callers hold a lock.

    Args:
        http: the client.
        url: the URL.
        target: the path of the file.
        sha256: the expected hash; also part of the name of the incomplete file, so that it is never resumed with other content.
        progress: called with (name, bytes done, total bytes or None), at most ten times a second.

    Raises:
        UsageError: there is no such file, or the server refuses the credentials.
        SwiftError: the network or the server failed, the disk is full, or the hash of the file differs.
    """
    import httpx2

    part = target.with_name(f".{target.name}.{sha256[:12]}.part")
    with cache_errors(target, part):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(_TRIES)):
            began = _size(part)
            try:
                _receive(http, url, part, progress)
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
                raise no_network(error, url) from error
            except httpx2.HTTPError as error:
                if not left:
                    raise _cut(error, url, part) from error
                time.sleep(0.2 * (_TRIES - left))
                continue
            if paths.sha256(part) == sha256:
                part.replace(target)
                return target
            part.unlink()
            if not began:
                break  # nothing was resumed: another attempt would give the same
    raise SwiftError(
        f"the SHA-256 of {target.name} differs from the expected one; the file was deleted",
        code="HUB-005",
        where=shown(url),
        hint="Run the command again. If the error persists, a proxy or mirror alters files: don't use it.",
    )


def check_answer(answer: httpx2.Response, *, missing: str) -> None:
    """Raise the error of an HTTP status: UsageError for 404, 410, 401, 403 and 407, SwiftError for all others from 400 up."""
    where, status = shown(str(answer.url)), answer.status_code
    if status in (404, 410):
        raise UsageError(missing, code="HUB-006", where=where, hint="Check the spelling and the version.")
    if status in (401, 403, 407):
        raise UsageError(
            f"the server denies access ({status})", code="HUB-007", where=where, hint="Check the credentials in the URL, or request access."
        )
    if status >= 400:
        raise SwiftError(f"the server failed ({status})", code="HUB-008", where=where, hint="Try again later.")


def no_network(error: Exception, url: str) -> SwiftError:
    """Return the error for a server that could not be reached."""
    return SwiftError(
        f"no connection: {str(error) or type(error).__name__}",
        code="HUB-009",
        where=shown(url),
        hint="Check the network and the proxy settings (HTTPS_PROXY), or set SWIFT_OFFLINE=1 to use only what is cached.",
    )


def shown(url: str) -> str:
    """Return the URL without user name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


@contextmanager
def cache_errors(target: Path, part: Path | None = None) -> Iterator[None]:
    """Convert disk errors in the block to SwiftError; on a full disk `part`, the incomplete file, is deleted."""
    try:
        yield
    except OSError as error:
        failure = paths.disk_error(error, target)
        if not isinstance(failure, SwiftError):
            raise
        if isinstance(failure, UsageError):
            failure = failure.with_context(hint="Set SWIFT_HOME to a writable folder.")
        elif part:
            part.unlink(missing_ok=True)
        raise failure from error


def _receive(http: httpx2.Client, url: str, part: Path, progress: Progress | None) -> None:
    """Append the missing bytes to `part`; start again if the server can't resume."""
    done = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with http.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416:  # range not satisfiable: `part` is complete, or not a part of this file
            return
        check_answer(answer, missing="there is no such file")
        resumed = answer.status_code == 206
        done = done if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        name, reported = Path(answer.url.path).name, 0.0
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_raw():
                file.write(block)
                done += len(block)
                if progress and (done == total or time.monotonic() - reported > 0.1):
                    reported = time.monotonic()
                    progress(name, done, total)


def _cut(error: Exception, url: str, part: Path) -> SwiftError:
    return SwiftError(
        f"the connection was lost {_TRIES} times: {str(error) or type(error).__name__}",
        code="HUB-010",
        where=shown(url),
        hint=f"Run the command again: it resumes after the {_size(part):,} bytes that were received.",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
