"""Is the key asked for? Does an adapter act? Engines tell log-probabilities in one form or another, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from swift_serve.acceptance import check_effect, check_key
from swift_testing.codes import coded
from swift_testing.scripted import ScriptedServer, reply

from swift_core.contract.errors import SwiftError
from swift_core.contract.roles import Server

PLACE = Path("/adapters/one")


class Engine:
    """Answers with one token; `scores` are its log-probabilities by model, one for each time it is asked."""

    def __init__(self, script: ScriptedServer, forms: tuple[str, ...], **scores: list[float]) -> None:
        self.script, self.forms, self.scores = script, forms, scores
        script.answer = self.answer

    def answer(self, handler) -> None:
        route = handler.path.removeprefix("/v1/")
        if route not in self.forms:
            reply(handler, 400, {"error": {"message": "no log-probabilities here"}})
            return
        score = self.scores[self.script.seen[-1]["body"]["model"]].pop(0)
        if route == "completions":
            reply(handler, 200, {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": [score]}}]})
        else:
            reply(handler, 200, {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": score}]}}]})


@pytest.fixture
def script():
    with ScriptedServer() as server:
        yield server


def notes_of(script: ScriptedServer) -> list[str]:
    notes: list[str] = []
    check_effect(Server(script.url, ("base",)), "base", "one", PLACE, notes.append)
    return notes


@pytest.mark.parametrize("forms", [("completions",), ("chat/completions",)])
def test_an_adapter_acts_or_not(script, forms):
    Engine(script, forms, base=[-1.0, -1.0], one=[-1.5])
    assert notes_of(script) == []
    Engine(script, forms, base=[-1.0, -1.0], one=[-1.0])
    with pytest.raises(SwiftError, check=coded("SERVE-052"), match=r"'one'.*'base'") as caught:
        notes_of(script)
    assert caught.value.where == str(PLACE)


def test_a_difference_that_the_base_has_from_time_to_time_is_none(script):
    Engine(script, ("completions",), base=[-1.0, -1.0002], one=[-1.0001])
    with pytest.raises(SwiftError, check=coded("SERVE-052")):
        notes_of(script)


def test_an_engine_that_tells_nothing(script):
    Engine(script, ())
    assert notes_of(script) == ["could not check that the adapter 'one' has an effect: the engine returns no numbers to compare"]


# -- the key -------------------------------------------------------------------------------------------------------------

KEY = "sk-right"


def keyed(script: ScriptedServer, allows) -> list[str]:
    """Notes of an engine that takes a request where `allows(route, key)` says so."""

    def answer(handler) -> None:
        known = handler.path in ("/v1/chat/completions", "/v1/models", "/metrics")
        allowed = allows(handler.path, handler.asked["key"])
        reply(handler, 404 if not known else 200 if allowed else 401, {})

    script.answer = answer
    notes: list[str] = []
    check_key(Server(script.url, ("base",), KEY), notes.append)
    return notes


def test_a_key_that_is_asked_for(script):
    assert keyed(script, lambda route, key: key == f"Bearer {KEY}") == []
    assert {request["key"] for request in script.seen} == {None, f"Bearer {KEY}-wrong"}


@pytest.mark.parametrize(
    ("allows", "words"),
    [
        (lambda route, key: True, "POST /v1/chat/completions without a key returns 200"),
        (lambda route, key: bool(key), "POST /v1/chat/completions with a wrong key returns 200"),
        (lambda route, key: route == "/v1/chat/completions", "POST /v1/chat/completions without a key returns 200"),
    ],
)
def test_a_key_that_is_not_asked_for(script, allows, words):
    with pytest.raises(SwiftError, check=coded("SERVE-050"), match="API") as caught:
        keyed(script, allows)
    assert words in caught.value.message
    assert KEY not in str(caught.value)


def test_open_routes_that_only_tell_are_noted(script):
    (note,) = keyed(script, lambda route, key: route == "/metrics")
    assert "GET /metrics without a key returns 200" in note


def test_without_a_key_nothing_is_asked(script):
    check_key(Server(script.url, ("base",)), pytest.fail)
    assert script.seen == []
