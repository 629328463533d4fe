"""A client of OpenAI-compatible servers, whichever engine runs them.

httpx2 is imported at the first request, so that the command line starts without it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError, UsageError, suggestion

if TYPE_CHECKING:
    import httpx2

TRIES = 6  # attempts per request, if the server is busy
LONGEST_PAUSE = 30.0  # maximum seconds between two attempts
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 900.0  # read timeout: an answer that is not streamed may take long

Messages = Sequence[Mapping[str, Any]]


class Refused(UsageError):
    """The server rejected the request: a status of 400 to 499, except for a wrong key or model."""


class Failed(SwiftError):
    """The server failed: a status of 500 or more."""


def chat(url: str, messages: Messages, *, model: str, api_key: str | None = None, stream: bool = True, **sampling: Any) -> Iterator[str]:
    """Yield the answer to a conversation piece by piece, or as one piece with `stream=False`.

    Args:
        url: base URL of the API, ending in /v1.
        messages: {role, content} turns.
        model: a model name of the server.
        api_key: the server's API key, if it has one.
        stream: yield text before the answer is complete.
        sampling: further fields of the request (max_tokens, temperature, seed, …).

    Raises:
        UsageError: there is no such model, the key is wrong, or the server rejects the request.
        SwiftError: the connection was refused or lost.
    """
    body = {"model": model, "messages": list(messages), "stream": stream, **sampling}
    with _request("POST", url, "/chat/completions", api_key, body) as response:
        if stream:
            yield from _deltas(response, url)
        else:
            response.read()
            yield str(_json(response, url)["choices"][0]["message"]["content"] or "")


def complete(url: str, messages: Messages, *, model: str, api_key: str | None = None, **sampling: Any) -> str:
    """Return the whole answer to a conversation; arguments and errors are those of `chat`."""
    return "".join(chat(url, messages, model=model, api_key=api_key, stream=False, **sampling))


def models(url: str, api_key: str | None = None) -> list[str]:
    """Return the model names of a server, the base model first. Errors are those of `chat`."""
    with _request("GET", url, "/models", api_key) as response:
        response.read()
        return [str(entry["id"]) for entry in _json(response, url)["data"]]


def post(url: str, path: str, body: Mapping[str, Any], *, api_key: str | None = None) -> Any:
    """POST a request and return the JSON body of the response; other errors are those of `chat`.

    Args:
        url: base URL of the API, ending in /v1.
        path: the route relative to it; `../tokenize` leads out of /v1.
        body: the JSON body of the request.
        api_key: the server's API key, if it has one.

    Raises:
        Refused: the server does not support the route, or rejects the request.
        Failed: the server failed.
    """
    with _request("POST", url, path, api_key, body) as response:
        response.read()
        return _json(response, url)


def command(url: str, path: str, body: Mapping[str, Any], *, api_key: str | None = None) -> None:
    """POST a request and ignore the response body; arguments and errors are those of `post`."""
    with _request("POST", url, path, api_key, body) as response:
        response.read()


def serves(url: str, path: str, api_key: str | None = None) -> bool:
    """Return True if a GET of the route succeeds; arguments are those of `post`."""
    try:
        with _request("GET", url, path, api_key) as response:
            response.read()
            return True
    except SwiftError:
        return False


def status(url: str, path: str, body: Any = None, *, api_key: str | None = None) -> int:
    """Return the HTTP status of one request (GET if there is no body), without retries; arguments are those of `post`.

    Raises:
        SwiftError: the connection failed.
    """
    import httpx2

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    address = httpx2.URL(url.rstrip("/") + "/").join(path.removeprefix("/"))
    method = "GET" if body is None else "POST"
    try:
        with (
            _client(url, httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)) as http,
            http.stream(method, address, headers=headers, json=body) as response,
        ):
            return response.status_code
    except httpx2.TransportError as error:
        raise _cut(url) from error


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

    return httpx2.Client(timeout=timeout, trust_env=httpx2.URL(url).host not in ("127.0.0.1", "localhost", "::1"))


@contextmanager
def _request(method: str, url: str, path: str, api_key: str | None, body: Any = None) -> Iterator[httpx2.Response]:
    """Yield a response with status 200 whose body is not read yet; if the server is busy (429, 503), retry after a pause."""
    import httpx2

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        address = httpx2.URL(url.rstrip("/") + "/").join(path.removeprefix("/"))
        with _client(url, httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)) as http:
            for attempt in range(TRIES):
                with http.stream(method, address, headers=headers, json=body) as response:
                    if response.status_code == 200:
                        yield response
                        return
                    response.read()
                    if response.status_code not in (429, 503) or attempt + 1 == TRIES:
                        break
                time.sleep(_pause(response, attempt))
            if response.status_code == 404 and body and "model" in body and body["model"] not in (served := models(url, api_key)):
                hint = f"{suggestion(body['model'], served)} Served: {', '.join(served)}."
                raise UsageError(f"there is no model '{body['model']}' on this server", where=url, hint=hint.strip())
            raise _refusal(response, url)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        hint = "Check that the server is running. Start one with: swift serve CHECKPOINT"
        raise SwiftError("connection refused", where=url, hint=hint) from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise UsageError("not a valid server URL", where=url, hint="Write a URL such as http://127.0.0.1:8000/v1.") from error
    except httpx2.TimeoutException as error:
        raise SwiftError(f"no response for {SILENCE_SECONDS:.0f} seconds", where=url, hint="Check the server's log.") from error
    except httpx2.TransportError as error:
        raise _cut(url) from error


def _deltas(response: httpx2.Response, url: str) -> Iterator[str]:
    for line in response.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        chunk = json.loads(data)
        if "error" in chunk:
            raise SwiftError(
                f"the server failed: {chunk['error'].get('message', chunk['error'])}", where=url, hint="Check the server's log."
            )
        for choice in chunk["choices"]:
            if text := choice["delta"].get("content"):
                yield text
    raise _cut(url)


def _cut(url: str) -> SwiftError:
    return SwiftError("the connection was lost during the answer", where=url, hint="Check the server's log, then try again.")


def _refusal(response: httpx2.Response, url: str) -> SwiftError:
    """Return the error for a response with another status than 200."""
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:300] or response.reason_phrase
    if response.status_code in (401, 403):
        return UsageError(
            f"the server rejects the API key: {message}",
            where=url,
            hint="Set the environment variable SWIFT_API_KEY to the server's key.",
        )
    if response.status_code in (429, 503):
        return SwiftError(f"the server is busy: {message}", where=url, hint="Try again later, or with a lower concurrency.")
    if response.status_code < 500:
        return Refused(f"the server rejects the request: {message}", where=url)
    return Failed(f"the server failed ({response.status_code}): {message}", where=url, hint="Check the server's log.")


def _json(response: httpx2.Response, url: str) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise SwiftError(
            "the response is not JSON", where=url, hint="Give the base URL of an OpenAI-compatible API, ending in /v1."
        ) from error


def _pause(response: httpx2.Response, attempt: int) -> float:
    """Return the seconds to wait: the server's Retry-After, else exponential backoff."""
    requested = response.headers.get("retry-after", "")
    return min(float(requested) if requested.isdigit() else 0.5 * 2**attempt, LONGEST_PAUSE)
