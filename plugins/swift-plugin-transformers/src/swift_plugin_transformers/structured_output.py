"""Answers that follow a JSON Schema: at each step, tokens that would break it are taken away. llguidance says which those are."""

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

from swift_core.contract.errors import UsageError

# Without this, a model that likes white space may write it until its answer's end.
_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

HINT = "Install it beside the server: pip install 'swift-plugin-transformers[structured]'."


class Grammars:
    """Schemas as logits processors, over one tokenizer, which is read when the first schema comes."""

    def __init__(self, tokenizer: Any, ends: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._ends = sorted(ends)
        self._vocabulary: Any = None
        self._lock = threading.Lock()

    def check(self, sampling: Sampling) -> None:
        """Read the schema of a request, or those of the functions that it has to call.

        Raises:
            UsageError: the library is missing, the tokenizer has no form that it reads, or the schema has something that it can't do.
        """
        field = "tools" if sampling.forced_calls else "response_format"
        llguidance = self._library(field)
        try:
            grammar = _grammar(llguidance, sampling)
        except ValueError as error:
            raise UsageError(f"not a JSON Schema: {error}", where=field) from None
        if why := llguidance.LLMatcher.validate_grammar(grammar, self._vocabulary):
            raise UsageError(f"this JSON Schema can't be followed: {' '.join(str(why).split())[:300]}", where=field)

    def processors(self, sampling: Sampling, length: int) -> list[LogitsProcessor]:
        """What keeps the answer to a prompt of that length to its schema; nothing if the request has none. Raises as `check` does."""
        if sampling.schema is None and not sampling.forced_calls:
            return []
        field = "tools" if sampling.forced_calls else "response_format"
        llguidance = self._library(field)
        return [
            _GrammarProcessor(
                llguidance.LLMatcher(self._vocabulary, _grammar(llguidance, sampling), log_level=0), length, self._ends, field
            )
        ]

    def _library(self, field: str) -> Any:
        if importlib.util.find_spec("llguidance") is None:
            raise UsageError("answers by a JSON Schema need llguidance, which is not installed", where=field, hint=HINT)
        import llguidance
        import llguidance.hf

        with self._lock:
            if self._vocabulary is None:
                try:
                    self._vocabulary = llguidance.hf.from_tokenizer(self._tokenizer, eos_token=self._ends)
                except ValueError as error:
                    raise UsageError(f"answers by a JSON Schema are not possible with this tokenizer: {error}", where=field) from None
        return llguidance


def _grammar(llguidance: Any, sampling: Sampling) -> str:
    """The grammar of a request's answer; each function's arguments are a schema of their own, so that what it refers to is found in it.

    Raises:
        ValueError: a schema is none.
    """
    if not sampling.forced_calls:
        return str(llguidance.LLMatcher.grammar_from_json_schema(sampling.schema, overrides=_FORM))
    rules = [f"call: {' | '.join(f'f{number}' for number in range(len(sampling.forced_calls)))}"]
    for number, function in enumerate(sampling.forced_calls):
        schema = json.loads(function.arguments)
        begin = json.dumps(f'{{"name": {json.dumps(function.name, ensure_ascii=False)}, "arguments": ', ensure_ascii=False)
        rules.append(f'f{number}: {begin} a{number} "}}"')
        rules.append(f"a{number}: %json {json.dumps({'x-guidance': _FORM, **schema}, ensure_ascii=False)}")
    start = 'start: "[" call (", " call)* "]"' if sampling.parallel_calls else "start: call"
    return str(llguidance.LLMatcher.grammar_from_lark("\n".join([start, *rules])))


class _GrammarProcessor(LogitsProcessor):
    """Takes away what the schema does not allow next."""

    def __init__(self, matcher: Any, prompt: int, ends: list[int], field: str) -> None:
        self._matcher = matcher
        self._field = field
        self._seen = prompt
        self._ends = ends

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._matcher.consume_tokens(input_ids[0, self._seen :].tolist())
        self._seen = input_ids.shape[1]
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        if self._matcher.is_stopped():
            allowed[self._ends] = True
        else:
            bias = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)[: len(allowed)]
            if self._matcher.is_error():  # it allows nothing but an end then, which would look like a whole answer
                why = self._matcher.get_error().split("\n")[0][:300]
                raise UsageError(f"this JSON Schema can't be followed to an end: {why}", where=self._field)
            allowed[: len(bias)] = bias != 0
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))
