"""Files from the network, each whole and verified or not there at all; a download that was cut goes on where it stopped.

Addresses, certificates and proxies are the ones that the user's other tools are configured with.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.system import paths

if TYPE_CHECKING:
    import httpx2

    from swift_core.contract.roles import Progress

_TRIES = 4
_TRUE = {"1", "true", "yes", "on"}


def offline() -> bool:
    """Whether the user forbade the network, with SWIFT_OFFLINE=1 or Hugging Face's HF_HUB_OFFLINE=1."""
    return any(os.environ.get(name, "").strip().lower() in _TRUE for name in ("SWIFT_OFFLINE", "HF_HUB_OFFLINE"))


@contextmanager
def offline_if(wanted: bool) -> Iterator[None]:
    """`--offline`, as hubs, data sets and media see it."""
    before = os.environ.get("SWIFT_OFFLINE")
    if wanted:
        os.environ["SWIFT_OFFLINE"] = "1"
    try:
        yield
    finally:
        if wanted and before is None:
            del os.environ["SWIFT_OFFLINE"]


def refuse_offline(what: str) -> None:
    """Raise UsageError where the network is forbidden and `what` would have to be fetched."""
    if offline():
        raise UsageError(f"offline, and {what} is not in the cache", hint="Fetch it once without SWIFT_OFFLINE and HF_HUB_OFFLINE.")


def client() -> httpx2.Client:
    """An HTTP client that trusts what pip and requests were told to trust (PIP_CERT, REQUESTS_CA_BUNDLE), else the system."""
    import ssl

    import httpx2

    bundle = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")
    verify: ssl.SSLContext | bool = True
    if bundle and not os.path.exists(bundle):
        raise UsageError("no such certificate file", where=bundle, hint="Correct PIP_CERT or REQUESTS_CA_BUNDLE.")
    if bundle:
        verify = ssl.create_default_context(capath=bundle) if os.path.isdir(bundle) else ssl.create_default_context(cafile=bundle)
    return httpx2.Client(verify=verify, follow_redirects=True, timeout=30)


def get(http: httpx2.Client, url: str, *, accept: str, missing: str) -> httpx2.Response:
    """A small document, whole.

    Args:
        accept: the media types wanted.
        missing: what is said where the server has no such document.

    Raises:
        UsageError: there is none, or the server wants other credentials.
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
    """Fetch `url` to `target`. What is read is kept beside it until it is whole, so that the next call can go on from there.

    Two processes must not fetch one target at once: callers hold a lock.

    Args:
        sha256: what the file must hash to; also the name of the unfinished file, so that it never goes on with another one.
        progress: called with (name, bytes done, bytes in all or None), some ten times a second.

    Raises:
        UsageError: no such file, or refused.
        SwiftError: the network or the server failed, the disk is full, or the file is not the one that was promised.
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
                break  # not the fault of an old piece: asking again would give the same
    raise SwiftError(
        f"{target.name} is not the file that was promised (its SHA-256 differs); it was deleted",
        where=shown(url),
        hint="Run the command again. If that does not help, something between here and there changes files: don't use it.",
    )


def check_answer(answer: httpx2.Response, *, missing: str) -> None:
    """Raise what an HTTP status means for the user: UsageError for 404 and refusals, SwiftError for a server's failure."""
    where, status = shown(str(answer.url)), answer.status_code
    if status in (404, 410):
        raise UsageError(missing, where=where, hint="Check the spelling and the version.")
    if status in (401, 403, 407):
        raise UsageError(f"the server refuses ({status})", where=where, hint="Check the credentials in the address, or ask for access.")
    if status >= 400:
        raise SwiftError(f"the server failed ({status})", where=where, hint="Try again in a while.")


def no_network(error: Exception, url: str) -> SwiftError:
    """The server could not be reached."""
    return SwiftError(
        f"no connection: {str(error) or type(error).__name__}",
        where=shown(url),
        hint="Check the network and the proxy settings (HTTPS_PROXY), or set SWIFT_OFFLINE=1 to use only what is cached.",
    )


def shown(url: str) -> str:
    """The address without the name and password it may carry."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


@contextmanager
def cache_errors(target: Path, part: Path | None = None) -> Iterator[None]:
    """The disk's errors while the cache is written, in words; a full disk loses `part`, the unfinished file."""
    try:
        yield
    except OSError as error:
        failure = paths.disk_error(error, target)
        if not isinstance(failure, SwiftError):
            raise
        if isinstance(failure, UsageError):
            failure.hint = "Set SWIFT_HOME to a folder that you may write to."
        elif part:
            part.unlink(missing_ok=True)
        raise failure from error


def _receive(http: httpx2.Client, url: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what it lacks; start it anew where the server can't go on."""
    done = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with http.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416:  # nothing comes after what is here: it is whole, or not a piece of this file
            return
        check_answer(answer, missing="there is no such file")
        resumed = answer.status_code == 206
        done = done if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        name, told = Path(answer.url.path).name, 0.0
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_raw():
                file.write(block)
                done += len(block)
                if progress and (done == total or time.monotonic() - told > 0.1):
                    told = time.monotonic()
                    progress(name, done, total)


def _cut(error: Exception, url: str, part: Path) -> SwiftError:
    return SwiftError(
        f"the connection was cut {_TRIES} times: {str(error) or type(error).__name__}",
        where=shown(url),
        hint=f"Run the command again: the {_size(part):,} bytes that came are kept, and it goes on from there.",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
