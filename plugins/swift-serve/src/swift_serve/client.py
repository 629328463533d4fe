"""A client of OpenAI-compatible servers: what chat, questions and the recipe's steps speak to, whichever engine answers.

httpx2 is imported when something is asked, so that the command line starts without it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError, UsageError, suggestion

if TYPE_CHECKING:
    import httpx2

TRIES = 6  # of a request that a busy server refuses
LONGEST_PAUSE = 30.0  # seconds between two of them
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 900.0  # an answer that comes in one piece may take long

Messages = Sequence[Mapping[str, Any]]


class Refused(UsageError):
    """The server answered that it does not do this: another status of 400 to 499 than for a wrong key or model."""


class Failed(SwiftError):
    """The server answered that it failed: a status of 500 or more."""


def chat(url: str, messages: Messages, *, model: str, api_key: str | None = None, stream: bool = True, **sampling: Any) -> Iterator[str]:
    """The answer to a conversation, in pieces as they come (`stream=False`: in one piece).

    Args:
        url: base of the API, ending in /v1.
        messages: {role, content} turns.
        model: a name that the server answers to.
        api_key: what the server asks for, if it does.
        stream: whether to give text before the answer is complete.
        sampling: further fields of the request (max_tokens, temperature, seed, …).

    Raises:
        UsageError: no such model, a wrong key, or a request the server refuses.
        SwiftError: nobody answers at the URL, or the answer was cut off.
    """
    body = {"model": model, "messages": list(messages), "stream": stream, **sampling}
    with _request("POST", url, "/chat/completions", api_key, body) as response:
        if stream:
            yield from _deltas(response, url)
        else:
            response.read()
            yield str(_json(response, url)["choices"][0]["message"]["content"] or "")


def complete(url: str, messages: Messages, *, model: str, api_key: str | None = None, **sampling: Any) -> str:
    """The whole answer to a conversation; arguments and errors are those of `chat`."""
    return "".join(chat(url, messages, model=model, api_key=api_key, stream=False, **sampling))


def models(url: str, api_key: str | None = None) -> list[str]:
    """The names that a server answers to, the base model first. Errors are those of `chat`."""
    with _request("GET", url, "/models", api_key) as response:
        response.read()
        return [str(entry["id"]) for entry in _json(response, url)["data"]]


def post(url: str, path: str, body: Mapping[str, Any], *, api_key: str | None = None) -> Any:
    """The JSON answer to a request; errors are those of `chat`.

    Args:
        url: base of the API, ending in /v1.
        path: the route below it; `../tokenize` is one beside it.
        body: the request.
        api_key: what the server asks for, if it does.

    Raises:
        Refused: the server does not know the route, or not this request.
        Failed: the server failed.
    """
    with _request("POST", url, path, api_key, body) as response:
        response.read()
        return _json(response, url)


def command(url: str, path: str, body: Mapping[str, Any], *, api_key: str | None = None) -> None:
    """A request that does something and whose answer says no more than that; arguments and errors are those of `post`."""
    with _request("POST", url, path, api_key, body) as response:
        response.read()


def serves(url: str, path: str, api_key: str | None = None) -> bool:
    """Whether a route can be read; arguments are those of `post`."""
    try:
        with _request("GET", url, path, api_key) as response:
            response.read()
            return True
    except SwiftError:
        return False


def status(url: str, path: str, body: Any = None, *, api_key: str | None = None) -> int:
    """The HTTP status of one request (GET without a body), whatever it is; arguments are those of `post`.

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
    """Ask `url` until it answers 200; whether it did, before `alive` said no or `timeout` seconds had passed."""
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
    """A client that takes no proxy for a server on this very machine."""
    import httpx2

    return httpx2.Client(timeout=timeout, trust_env=httpx2.URL(url).host not in ("127.0.0.1", "localhost", "::1"))


@contextmanager
def _request(method: str, url: str, path: str, api_key: str | None, body: Any = None) -> Iterator[httpx2.Response]:
    """An answer with status 200 whose body is still to be read; a busy server (429, 503) is asked again after a pause."""
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
        raise SwiftError("nobody answers there", where=url, hint="Is the server running? Start one with: swift serve CHECKPOINT") from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise UsageError("not the URL of a server", where=url, hint="Write something like http://127.0.0.1:8000/v1.") from error
    except httpx2.TimeoutException as error:
        raise SwiftError(f"no answer for {SILENCE_SECONDS:.0f} seconds", where=url, hint="Look into the server's log.") from error
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
            raise SwiftError(f"the server failed: {chunk['error'].get('message', chunk['error'])}", where=url, hint="Its log says more.")
        for choice in chunk["choices"]:
            if text := choice["delta"].get("content"):
                yield text
    raise _cut(url)


def _cut(url: str) -> SwiftError:
    return SwiftError("the connection was cut in the middle of the answer", where=url, hint="Look into the server's log, then ask again.")


def _refusal(response: httpx2.Response, url: str) -> SwiftError:
    """The server's refusal in words."""
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:300] or response.reason_phrase
    if response.status_code in (401, 403):
        return UsageError(
            f"the server refuses the API key: {message}",
            where=url,
            hint="Put the server's key into the environment variable SWIFT_API_KEY.",
        )
    if response.status_code in (429, 503):
        return SwiftError(f"the server is busy: {message}", where=url, hint="Ask again later, or ask less at once.")
    if response.status_code < 500:
        return Refused(f"the server refuses the request: {message}", where=url)
    return Failed(f"the server failed ({response.status_code}): {message}", where=url, hint="Its log says more.")


def _json(response: httpx2.Response, url: str) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise SwiftError(
            "the answer is not JSON", where=url, hint="Is this the base URL of an OpenAI-compatible API, ending in /v1?"
        ) from error


def _pause(response: httpx2.Response, attempt: int) -> float:
    """Seconds to wait: what the server says, else twice as long each time."""
    said = response.headers.get("retry-after", "")
    return min(float(said) if said.isdigit() else 0.5 * 2**attempt, LONGEST_PAUSE)
