"""Acceptance checks before a server is reported ready: it requires its API key, its tokens equal those of the training (token parity),
and each adapter changes the output.

An engine that ignores an adapter still answers like the base model, so only the output shows it: the log-probabilities after a fixed
prompt must differ from the base model's by more than those vary between two equal requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Server, SwiftError
from swift_serve.client import Client, Refused
from swift_serve.parity import check_parity

PROMPT = "The first thing to know is"
TOKENS = 8  # tokens to compare

_ASK = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 1}
_COMPLETE = {"prompt": PROMPT, "max_tokens": 1}
GUARDED: Mapping[
    str, dict[str, Any]
] = {  # routes that compute or change something; the bodies of the latter are invalid, so that they have no effect
    "/chat/completions": _ASK,
    "/completions": _COMPLETE,
    "/embeddings": {"input": PROMPT},
    "/responses": {"input": PROMPT, "max_output_tokens": 1},
    **{path: {"input": PROMPT} for path in ("/classify", "../classify", "../pooling")},
    **{path: {"text_1": PROMPT, "text_2": PROMPT} for path in ("/score", "../score")},
    **{path: {"query": PROMPT, "documents": [PROMPT]} for path in ("/rerank", "../rerank", "../v2/rerank")},
    "/load_lora_adapter": {},
    "/unload_lora_adapter": {},
    "../load_lora_adapter": {},
    "../unload_lora_adapter": {},
}
INFORMATIVE: Mapping[str, dict[str, Any] | None] = {  # routes that only return information
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
    """Check that the engine rejects requests without its API key, or with a wrong one. Does nothing if the server has no key.

    Raises:
        SwiftError: a route that computes or changes something accepts such a request.
    """
    if not server.api_key:
        return
    open_, informative, present = open_routes(server)
    if open_:
        raise SwiftError(
            f"the engine does not enforce its API key: {'; '.join(open_)}",
            code="SERVE-050",
            where=server.url,
            hint="Its port would be open to everyone. Serve with another backend, or without a key on 127.0.0.1 only.",
        )
    if not present:
        note("could not check that the engine enforces its API key: it has none of the routes to check")
    if informative:
        note(f"the engine serves some routes without its API key: {'; '.join(informative)}")


def open_routes(server: Server) -> tuple[list[str], list[str], bool]:
    """Return the routes that accept a request without the server's key or with a wrong one: those in `GUARDED`, and those in `INFORMATIVE`,
    each with its status; and whether any route in `GUARDED` exists.
    """
    model = server.models[0]
    found: dict[str, str] = {}
    present = False
    for path, body in {**GUARDED, **INFORMATIVE}.items():
        for key, words in ((None, "without a key"), (f"{server.api_key}-wrong", "with a wrong key")):
            client = Client(replace(server, api_key=key))
            code = client.status(path, body if body is None else {"model": model, **body})
            present = present or (path in GUARDED and code not in _ABSENT)
            if code not in (*_REFUSED, *_ABSENT):
                found.setdefault(path, f"{'GET' if body is None else 'POST'} {_route(path)} {words} returns {code}")
    return [found[path] for path in GUARDED if path in found], [found[path] for path in INFORMATIVE if path in found], present


def _route(path: str) -> str:
    return path.removeprefix("..") if path.startswith("..") else f"/v1{path}"


def check_tokens(server: Server, model: str, checkpoint: Path, note: Note, *, refuse: bool) -> None:
    """Check token parity: the engine must render the checkpoint's golden conversations to the token ids in its manifest.

    Raises:
        SwiftError: it does not, and `refuse` is true.
    """
    manifest = Checkpoint.at(checkpoint).manifest
    if manifest is None or not manifest.golden:
        return
    parity = check_parity(server, manifest.golden, model=model)
    if unchecked := parity.words("unchecked"):
        note(f"could not check that the engine gives '{model}' the tokens that it was trained on: {unchecked}")
    if not (different := parity.words("different")):
        return
    message = f"the engine gives '{model}' other tokens than it was trained on: {different}"
    if refuse:
        raise SwiftError(message, code="SERVE-051", where=str(checkpoint), hint=f"{parity.hint} To serve it anyway, use --parity warn.")
    note(f"{message}. {parity.hint}")


def check_effect(server: Server, base: str, model: str, checkpoint: Path, note: Note) -> None:
    """Check that an adapter's output differs from the base model's.

    Raises:
        SwiftError: it does not.
    """
    before, after, again = (_scores(server, name) for name in (base, model, base))
    if not (before and after and again):
        note(f"could not check that the adapter '{model}' has an effect: the engine returns no numbers to compare")
    elif _difference(before, after) <= _difference(before, again):
        raise SwiftError(
            f"the output of '{model}' equals that of '{base}': the adapter has no effect",
            code="SERVE-052",
            where=str(checkpoint),
            hint="Check that it was trained, and on this base model. Before the first step its update is zero.",
        )


def _scores(server: Server, model: str) -> Scores:
    """Return the greedy continuation of a fixed prompt with log-probabilities, or the numbers of a head; empty if there are none."""
    client = Client(server)
    request: dict[str, Any] = {"model": model, "max_tokens": TOKENS, "temperature": 0}
    try:
        reply = client.post("/completions", {**request, "prompt": PROMPT, "logprobs": 1})
        found = reply["choices"][0]["logprobs"]
        return list(zip(found["tokens"], found["token_logprobs"], strict=True))
    except (Refused, KeyError, TypeError):
        pass  # not supported: try the chat route
    try:
        turn = {"role": "user", "content": PROMPT}
        reply = client.post("/chat/completions", {**request, "messages": [turn], "logprobs": True})
        return [(item["token"], item["logprob"]) for item in reply["choices"][0]["logprobs"]["content"]]
    except (Refused, KeyError, TypeError):
        return _numbers(client, model)


def _numbers(client: Client, model: str) -> Scores:
    """Return what the head of a model gives for a fixed text; empty if the engine has no such routes."""
    for path, field in (("/embeddings", "embedding"), ("/classify", "probs"), ("../classify", "probs")):
        try:
            found = client.post(path, {"model": model, "input": PROMPT})["data"][0][field]
            return [(str(place), float(number)) for place, number in enumerate(found)]
        except (Refused, KeyError, TypeError):
            pass
    return []


def _difference(one: Scores, other: Scores) -> float:
    """Return the largest difference of log-probabilities; infinite if the tokens differ."""
    if [token for token, _ in one] != [token for token, _ in other]:
        return float("inf")
    return max(abs(mine - theirs) for (_, mine), (_, theirs) in zip(one, other, strict=True))
