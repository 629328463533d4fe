"""The fields that the gateway reads from a request and its answer; both are passed on byte for byte."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from swift_http.errors import ApiError

from swift_gateway.prefixes import CHARACTERS_PER_TOKEN
from swift_gateway.servers import Demand

_COMPLETION_TOKENS = 256  # estimate of a request without a limit
_USAGE = re.compile(rb'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of an answer, as the server counted them."""

    prompt: int
    completion: int


def demand_of(body: bytes) -> tuple[Demand, bool]:
    """Return what a request asks, and whether its answer is streamed.

    Raises:
        ApiError: 400, the body is no JSON object or names no model.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise ApiError(400, "the request body must be a JSON object")
    model = asked.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "model: the name of a model is required", param="model")
    prompt = _prompt(asked)
    limit = next((asked[name] for name in ("max_completion_tokens", "max_tokens", "max_output_tokens") if _counts(asked.get(name))), None)
    choices = asked["n"] if _counts(asked.get("n")) else 1
    tokens = len(prompt) // CHARACTERS_PER_TOKEN + (limit or _COMPLETION_TOKENS) * choices
    return Demand(model, prompt, tokens), asked.get("stream") is True


def usage_of(end: bytes) -> Usage | None:
    """Return the usage in the last bytes of an answer, a JSON object or events; None if there is none."""
    found = _USAGE.findall(end)
    try:
        usage = json.loads(found[-1]) if found else {}
        prompt = usage.get("prompt_tokens", usage.get("input_tokens", 0))
        return Usage(int(prompt), int(usage.get("completion_tokens", usage.get("output_tokens", 0)))) if usage else None
    except (ValueError, TypeError):
        return None


def _prompt(asked: dict[str, Any]) -> str:
    """Return the text that the prompt begins with, in a form in which equal beginnings stay equal."""
    given = asked.get("messages", asked.get("prompt", asked.get("input", asked.get("query", ""))))
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
