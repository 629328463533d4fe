"""Multiple choice by log-likelihood: how probable the model finds each choice after the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_serve.client import Client

from swift_core.contract import SwiftError, UsageError
from swift_evaluate.asking import Answer, Question
from swift_evaluate.metrics.metric import Graded
from swift_evaluate.rows.questions import RowQuestion

VERSION = "1"


def continuations(question: RowQuestion, *, by_text: bool) -> dict[str, str]:
    """Return what follows the prompt for each letter."""
    assert question.choices is not None
    return {letter: f" {text if by_text else letter}" for letter, text in question.choices.texts.items()}


def ask_likelihoods(client: Client, question: Question, fields: Mapping[str, Any], *, by_text: bool) -> Answer:
    """Answer with the most probable choice; the message has the log-likelihood of each.

    Raises:
        UsageError: the server returns no log-probabilities of the prompt.
    """
    assert isinstance(question, RowQuestion)
    found = {
        letter: log_likelihood(client, question.text, continuation, str(fields["model"]))
        for letter, continuation in continuations(question, by_text=by_text).items()
    }
    return Answer(text=_best(found), message={"log_likelihoods": found})


def log_likelihood(client: Client, prompt: str, continuation: str, model: str) -> float:
    """Return the sum of the log-probabilities of the tokens of `continuation` after `prompt`.

    The server echoes the prompt with its log-probabilities. Tokens are chosen by their place in the text, so it does not matter whether
    the server also returns the one generated token.

    Raises:
        UsageError: the server returns no log-probabilities of the prompt.
        SwiftError: what it echoes is not what was sent.
    """
    whole = prompt + continuation
    body = {"model": model, "prompt": whole, "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
    choice = client.post("/completions", body)["choices"][0]
    logprobs = choice.get("logprobs") or {}
    values, offsets = logprobs.get("token_logprobs"), logprobs.get("text_offset")
    url = client.server.url
    if not values or not offsets or len(values) != len(offsets):
        hint = "Use a backend that supports echo with logprobs on /v1/completions, or answer_by generation."
        raise UsageError("the server returns no log-probabilities of the prompt", code="EVAL-104", where=url, hint=hint)
    begin = str(choice.get("text", "")).find(whole)  # tokens before the prompt are special ones
    if begin < 0:
        hint = "The log-probabilities would belong to another text. Use another backend."
        raise SwiftError("the server does not echo the prompt as it was sent", code="EVAL-105", where=url, hint=hint)
    ends = [*offsets[1:], len(str(choice["text"]))]
    found = [
        value for value, start, end in zip(values, offsets, ends, strict=True) if end > begin + len(prompt) and start < begin + len(whole)
    ]
    if not found or any(value is None for value in found):
        raise SwiftError("the server returns no log-probabilities of the choice", code="EVAL-106", where=url, hint="Use another backend.")
    return float(sum(found))


def likelihood_scores(question: RowQuestion, given: Graded, *, by_text: bool) -> dict[str, float]:
    """Return `accuracy`, and for texts also `accuracy_norm`: log-likelihoods divided by the number of bytes of the choice."""
    assert question.choices is not None
    right = question.choices.right
    found: Mapping[str, float] = given.message["log_likelihoods"]
    scores = {"accuracy": float(_best(found) == right)}
    if by_text:
        per_byte = {letter: value / len(question.choices.texts[letter].encode()) for letter, value in found.items()}
        scores["accuracy_norm"] = float(_best(per_byte) == right)
    return scores


def _best(values: Mapping[str, float]) -> str:
    return max(values, key=lambda letter: values[letter])
