"""Acceptance checks before a server is reported ready: its API key is required, it reads the tokens the model was trained on, and each
adapter changes the answers.

An engine that leaves out an adapter still answers, as the base does, so only its answers show it: the log-probabilities after a fixed
prompt must differ from the base's by more than those differ from one time to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoints.manifest import read_manifest
from swift_core.contract.errors import SwiftError
from swift_core.contract.roles import Server
from swift_serve.client import Refused, post, status
from swift_serve.parity import check_parity

PROMPT = "The first thing to know is"
TOKENS = 8  # that are compared

_ASK = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 1}
_COMPLETE = {"prompt": PROMPT, "max_tokens": 1}
GUARDED: Mapping[str, dict[str, Any]] = {  # routes that compute or change something; the bodies of those that change would be refused
    "/chat/completions": _ASK,
    "/completions": _COMPLETE,
    "/embeddings": {"input": PROMPT},
    "/responses": {"input": PROMPT, "max_output_tokens": 1},
    "/load_lora_adapter": {},
    "/unload_lora_adapter": {},
    "../load_lora_adapter": {},
    "../unload_lora_adapter": {},
}
TELLING: Mapping[str, dict[str, Any] | None] = {  # routes that tell something
    "/models": None,
    "../metrics": None,
    "../tokenize": {"prompt": PROMPT},
    "../detokenize": {"tokens": [1]},
}
_REFUSED = (401, 403)
_ABSENT = (404, 405)

Note = Callable[[str], None]
Scores = list[tuple[str, float]]


def check_key(server: Server, note: Note) -> None:
    """See that the engine refuses requests without its API key, and with a wrong one; nothing is asked where it has none.

    Raises:
        SwiftError: a route that computes or changes something takes one.
    """
    if not server.api_key:
        return
    open_, tells, asked = open_routes(server)
    if open_:
        raise SwiftError(
            f"the engine does not ask for its API key: {'; '.join(open_)}",
            where=server.url,
            hint="Its port would be open to all who reach it. Serve with another backend, or without a key on 127.0.0.1 alone.",
        )
    if not asked:
        note("nothing tells whether the engine asks for its API key: it knows none of the routes that would")
    if tells:
        note(f"the engine answers some routes without its API key: {'; '.join(tells)}")


def open_routes(server: Server) -> tuple[list[str], list[str], bool]:
    """Routes that take a request without the server's key, or with a wrong one: those of `GUARDED`, those of `TELLING`, each with what it
    answered; and whether one of the former is there.
    """
    model = server.models[0]
    found: dict[str, str] = {}
    present = False
    for path, body in {**GUARDED, **TELLING}.items():
        for key, words in ((None, "without a key"), (f"{server.api_key}-wrong", "with a wrong key")):
            code = status(server.url, path, body if body is None else {"model": model, **body}, api_key=key)
            present = present or (path in GUARDED and code not in _ABSENT)
            if code not in (*_REFUSED, *_ABSENT):
                found.setdefault(path, f"{'GET' if body is None else 'POST'} {_route(path)} {words} answers {code}")
    return [found[path] for path in GUARDED if path in found], [found[path] for path in TELLING if path in found], present


def _route(path: str) -> str:
    return path.removeprefix("..") if path.startswith("..") else f"/v1{path}"


def check_tokens(server: Server, model: str, checkpoint: Path, note: Note, *, refuse: bool) -> None:
    """See that the engine renders the checkpoint's golden conversations to the tokens that its manifest keeps.

    Raises:
        SwiftError: it does not, and `refuse` is true.
    """
    manifest = read_manifest(checkpoint)
    if manifest is None or not manifest.golden:
        return
    parity = check_parity(server.url, manifest.golden, model=model, api_key=server.api_key)
    if unchecked := parity.words("unchecked"):
        note(f"nothing tells whether the engine gives '{model}' the tokens that it was trained on: {unchecked}")
    if not (different := parity.words("different")):
        return
    message = f"the engine gives '{model}' other tokens than it was trained on: {different}"
    if refuse:
        raise SwiftError(message, where=str(checkpoint), hint=f"{parity.hint} --parity warn serves it all the same.")
    note(f"{message}. {parity.hint}")


def check_effect(server: Server, base: str, model: str, checkpoint: Path, note: Note) -> None:
    """See that an adapter's answers differ from the base's.

    Raises:
        SwiftError: they do not.
    """
    before, after, again = (_scores(server, name) for name in (base, model, base))
    if not (before and after and again):
        note(f"nothing tells whether the adapter '{model}' acts: the engine gives no log-probabilities")
    elif _difference(before, after) <= _difference(before, again):
        raise SwiftError(
            f"'{model}' answers exactly as '{base}' does: the adapter changes nothing",
            where=str(checkpoint),
            hint="Was it trained, and on this base? At the start of training its update is zero.",
        )


def _scores(server: Server, model: str) -> Scores:
    """The tokens that continue a fixed prompt, the likeliest each time, with their log-probabilities; empty where it tells none."""
    asked: dict[str, Any] = {"model": model, "max_tokens": TOKENS, "temperature": 0}
    try:
        said = post(server.url, "/completions", {**asked, "prompt": PROMPT, "logprobs": 1}, api_key=server.api_key)
        found = said["choices"][0]["logprobs"]
        return list(zip(found["tokens"], found["token_logprobs"], strict=True))
    except (Refused, KeyError, TypeError):
        pass  # not in this form
    try:
        turn = {"role": "user", "content": PROMPT}
        said = post(server.url, "/chat/completions", {**asked, "messages": [turn], "logprobs": True}, api_key=server.api_key)
        return [(item["token"], item["logprob"]) for item in said["choices"][0]["logprobs"]["content"]]
    except (Refused, KeyError, TypeError):
        return []


def _difference(one: Scores, other: Scores) -> float:
    """The largest difference of a log-probability; infinite where the tokens differ."""
    if [token for token, _ in one] != [token for token, _ in other]:
        return float("inf")
    return max(abs(mine - theirs) for (_, mine), (_, theirs) in zip(one, other, strict=True))
