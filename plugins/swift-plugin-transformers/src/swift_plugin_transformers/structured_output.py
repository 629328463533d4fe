"""Structured output: constrained decoding to a JSON Schema. At each step llguidance computes the tokens that the schema allows."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Collection
from typing import Any

import torch
from swift_http import Sampling
from torch import Tensor
from transformers import LogitsProcessor

from swift_core.contract import UsageError

# Without fixed separators a model may generate white space until max_tokens.
_SEPARATORS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

HINT = "Install it: pip install 'swift-plugin-transformers[structured]'."


class Grammars:
    """Compiles schemas to logits processors for one tokenizer, whose vocabulary is loaded with the first schema."""

    def __init__(self, tokenizer: Any, eos_token_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._eos_token_ids = sorted(eos_token_ids)
        self._vocabulary: Any = None
        self._lock = threading.Lock()

    def check(self, sampling: Sampling) -> None:
        """Check the schema of a request, or those of its forced tool calls.

        Raises:
            UsageError: llguidance is missing, or does not support the tokenizer or the schema.
        """
        field = "tools" if sampling.forced_calls else "response_format"
        llguidance = self._library(field)
        try:
            grammar = _grammar(llguidance, sampling)
        except ValueError as error:
            raise UsageError(f"not a JSON Schema: {error}", code="MODEL-028", where=field) from None
        if why := llguidance.LLMatcher.validate_grammar(grammar, self._vocabulary):
            raise UsageError(f"unsupported JSON Schema: {' '.join(str(why).split())[:300]}", code="MODEL-029", where=field)

    def processors(self, sampling: Sampling, length: int) -> list[LogitsProcessor]:
        """Return the processor that enforces the request's schema; empty if it has none. `length` is the number of prompt tokens.

        Raises:
            UsageError: as `check`.
        """
        if sampling.schema is None and not sampling.forced_calls:
            return []
        field = "tools" if sampling.forced_calls else "response_format"
        llguidance = self._library(field)
        return [
            _GrammarProcessor(
                llguidance.LLMatcher(self._vocabulary, _grammar(llguidance, sampling), log_level=0), length, self._eos_token_ids, field
            )
        ]

    def _library(self, field: str) -> Any:
        if importlib.util.find_spec("llguidance") is None:
            raise UsageError("structured output requires llguidance, which is not installed", code="MODEL-030", where=field, hint=HINT)
        import llguidance
        import llguidance.hf

        with self._lock:
            if self._vocabulary is None:
                try:
                    self._vocabulary = llguidance.hf.from_tokenizer(self._tokenizer, eos_token=self._eos_token_ids)
                except ValueError as error:
                    raise UsageError(
                        f"structured output is not supported with this tokenizer: {error}", code="MODEL-031", where=field
                    ) from None
        return llguidance


def _grammar(llguidance: Any, sampling: Sampling) -> str:
    """Return the grammar of a completion. Each function's arguments are a separate schema, so that its references are resolved within it.

    Raises:
        ValueError: a schema is invalid.
    """
    if not sampling.forced_calls:
        return str(llguidance.LLMatcher.grammar_from_json_schema(sampling.schema, overrides=_SEPARATORS))
    rules = [f"call: {' | '.join(f'f{number}' for number in range(len(sampling.forced_calls)))}"]
    for number, function in enumerate(sampling.forced_calls):
        schema = json.loads(function.arguments)
        begin = json.dumps(f'{{"name": {json.dumps(function.name, ensure_ascii=False)}, "arguments": ', ensure_ascii=False)
        rules.append(f'f{number}: {begin} a{number} "}}"')
        rules.append(f"a{number}: %json {json.dumps({'x-guidance': _SEPARATORS, **schema}, ensure_ascii=False)}")
    start = 'start: "[" call (", " call)* "]"' if sampling.parallel_calls else "start: call"
    return str(llguidance.LLMatcher.grammar_from_lark("\n".join([start, *rules])))


class _GrammarProcessor(LogitsProcessor):
    """Masks the tokens that the schema does not allow next."""

    def __init__(self, matcher: Any, prompt: int, eos_token_ids: list[int], field: str) -> None:
        self._matcher = matcher
        self._field = field
        self._seen = prompt
        self._eos_token_ids = eos_token_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._matcher.consume_tokens(input_ids[0, self._seen :].tolist())
        self._seen = input_ids.shape[1]
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        if self._matcher.is_stopped():
            allowed[self._eos_token_ids] = True
        else:
            bias = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)[: len(allowed)]
            if self._matcher.is_error():  # it would then allow the end only, and the output would look complete
                why = self._matcher.get_error().split("\n")[0][:300]
                raise UsageError(f"generation by this JSON Schema failed: {why}", code="MODEL-032", where=self._field)
            allowed[: len(bias)] = bias != 0
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))
