"""HTTP requests to a server: retries if it is busy, and errors that say what to do. `swift_serve.client` is the interface.

httpx2 is imported at the first request, so that the command line starts without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from swift_core.contract import Server, SwiftError, UsageError

if TYPE_CHECKING:
    import ssl

    import httpx2

TRIES = 6  # attempts per request, if the server is busy
LONGEST_PAUSE = 30.0  # maximum seconds between two attempts
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 900.0  # read timeout: an answer that is not streamed may take long


class Refused(UsageError):
    """The server rejected the request: `status` is 400 to 499, but not that of a wrong key."""

    status = 400


class Failed(SwiftError):
    """The server failed: a status of 500 or more."""


def wait_ready(url: str, alive: Callable[[], bool], timeout: float) -> bool:
    """Poll `url` until it returns 200 (True), or `alive` returns False or `timeout` seconds have passed (False)."""
    import httpx2

    end = time.monotonic() + timeout
    with _client(url, httpx2.Timeout(2)) as http:
        while alive() and time.monotonic() < end:
            try:
                if http.get(url).status_code == 200:
                    return True
            except httpx2.TransportError:
                pass  # not yet
            time.sleep(0.1)
    return False


def _client(url: str, timeout: httpx2.Timeout) -> httpx2.Client:
    """Return a client that uses no proxy for servers on this machine."""
    import httpx2

    return httpx2.Client(timeout=timeout, verify=_tls(), trust_env=httpx2.URL(url).host not in ("127.0.0.1", "localhost", "::1"))


@cache
def _tls() -> ssl.SSLContext:
    """Return the TLS settings of every client; reading the certificates takes about 30 ms."""
    import httpx2

    return httpx2.create_ssl_context()


@contextmanager
def request(server: Server, method: str, path: str, body: Any = None) -> Iterator[httpx2.Response]:
    """Yield a response with status 200 whose body is not read yet; if the server is busy (429, 503), retry after a pause.

    Args:
        server: the server; its `url` ends in /v1.
        method: GET or POST.
        path: the route relative to the URL; `../tokenize` leads out of /v1.
        body: the JSON body of the request.

    Raises:
        Refused: the server does not support the route, or rejects the request.
        UsageError: the key is wrong, or the URL is not valid.
        Failed: the server failed.
        SwiftError: the connection was refused or lost, or the server is busy.
    """
    import httpx2

    with _errors(server.url), _client(server.url, httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)) as http:
        for attempt in range(TRIES):
            with http.stream(method, _address(server, path), headers=_headers(server), json=body) as response:
                if response.status_code == 200:
                    yield response
                    return
                response.read()
                if response.status_code not in (429, 503) or attempt + 1 == TRIES:
                    break
            time.sleep(_pause(response, attempt))
        raise _refusal(response, server.url)


def status(server: Server, method: str, path: str, body: Any = None) -> int:
    """Return the HTTP status of one request, without retries; arguments are those of `request`.

    Raises:
        SwiftError: the connection was refused or lost.
    """
    import httpx2

    with (
        _errors(server.url),
        _client(server.url, httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)) as http,
        http.stream(method, _address(server, path), headers=_headers(server), json=body) as response,
    ):
        return response.status_code


def lost(url: str) -> SwiftError:
    """Return the error of a connection that was lost during an answer."""
    return SwiftError(
        "the connection was lost during the answer", code="SERVE-080", where=url, hint="Check the server's log, then try again."
    )


def json_of(response: httpx2.Response, url: str) -> Any:
    """Read a response and return its JSON body.

    Raises:
        SwiftError: it is not JSON.
    """
    response.read()
    try:
        return response.json()
    except ValueError as error:
        raise SwiftError(
            "the response is not JSON", code="SERVE-081", where=url, hint="Give the base URL of an OpenAI-compatible API, ending in /v1."
        ) from error


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Raise the errors of httpx as ours."""
    import httpx2

    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        hint = "Check that the server is running. Start one with: swift serve CHECKPOINT"
        raise SwiftError("connection refused", code="SERVE-082", where=url, hint=hint) from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise UsageError(
            "not a valid server URL", code="SERVE-083", where=url, hint="Write a URL such as http://127.0.0.1:8000/v1."
        ) from error
    except httpx2.TimeoutException as error:
        raise SwiftError(
            f"no response for {SILENCE_SECONDS:.0f} seconds", code="SERVE-084", where=url, hint="Check the server's log."
        ) from error
    except httpx2.TransportError as error:
        raise lost(url) from error


def _address(server: Server, path: str) -> httpx2.URL:
    import httpx2

    return httpx2.URL(server.url.rstrip("/") + "/").join(path.removeprefix("/"))


def _headers(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}


def _refusal(response: httpx2.Response, url: str) -> SwiftError:
    """Return the error for a response with another status than 200."""
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:300] or response.reason_phrase
    if response.status_code in (401, 403):
        return UsageError(
            f"the server rejects the API key: {message}",
            code="SERVE-085",
            where=url,
            hint="Set the environment variable SWIFT_API_KEY to the server's key.",
        )
    if response.status_code in (429, 503):
        return SwiftError(
            f"the server is busy: {message}", code="SERVE-086", where=url, hint="Try again later, or with a lower concurrency."
        )
    if response.status_code < 500:
        refused = Refused(f"the server rejects the request: {message}", code="SERVE-087", where=url)
        refused.status = response.status_code
        return refused
    return Failed(f"the server failed ({response.status_code}): {message}", code="SERVE-088", where=url, hint="Check the server's log.")


def _pause(response: httpx2.Response, attempt: int) -> float:
    """Return the seconds to wait: the server's Retry-After, else exponential backoff."""
    requested = response.headers.get("retry-after", "")
    return min(float(requested) if requested.isdigit() else 0.5 * 2**attempt, LONGEST_PAUSE)
