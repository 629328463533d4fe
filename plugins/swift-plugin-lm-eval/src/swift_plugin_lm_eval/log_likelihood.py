"""Log-likelihoods from OpenAI's completions: a request that echoes the prompt, and what its response says of the continuation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift_core.contract import SwiftError

_HINT = "The server must answer /v1/completions with echo and logprobs for prompts of token ids, as vLLM and swift serve do."


def request(tokens: Sequence[int]) -> dict[str, Any]:
    """Return the fields of a request for the log-probabilities of a prompt; servers generate at least one token after it."""
    return {"prompt": list(tokens), "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}


def continuation_score(response: Mapping[str, Any], context: int, total: int) -> tuple[float, bool]:
    """Return the log-probability of the tokens after the context, and whether greedy decoding would generate them.

    Args:
        response: the response to `request`.
        context: number of tokens of the context.
        total: number of tokens of context and continuation.

    Raises:
        SwiftError: the response does not have the log-probabilities of the prompt.
    """
    try:
        found = response["choices"][0]["logprobs"]
        values, tops = list(found["token_logprobs"]), list(found["top_logprobs"])
    except (KeyError, TypeError, IndexError):
        raise SwiftError("the response has no log-probabilities", code="EVAL-040", where="/v1/completions", hint=_HINT) from None
    # without the generated token, lm-eval's own client would drop the last one of the continuation
    if len(values) not in (total, total + 1) or len(tops) != len(values):
        message = f"the response has log-probabilities of {len(values)} tokens, for a prompt of {total} and one generated token"
        raise SwiftError(message, code="EVAL-041", where="/v1/completions", hint=_HINT)
    asked = values[context:total]
    if any(not isinstance(value, int | float) for value in asked):
        raise SwiftError("a log-probability is missing", code="EVAL-042", where="/v1/completions", hint=_HINT)
    greedy = all(top and value >= max(top.values()) for value, top in zip(asked, tops[context:total], strict=True))
    return float(sum(asked)), greedy
