"""A served model as an lm-eval model: chat messages for generation, prompts as token ids for log-likelihoods.

This module runs in the engine's environment, which alone has lm-eval.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from swift_evaluate import Question, ask_all, prompt_hash
from swift_evaluate.roles import Evaluation, Item
from swift_serve.client import Client, Refused

from swift_core.contract import Server, SwiftError, UsageError
from swift_plugin_lm_eval.log_likelihood import continuation_score, request
from swift_plugin_lm_eval.results import Status

TRIES = 4
MAX_TOKENS = 256  # as lm-eval's own API models
_TASK = "lm-eval"


class ServedModel(TemplateLM):  # type: ignore[misc]
    """The first model of a server. Answers are kept in a file as they arrive, so that an interrupted run does not ask for them again.

    Args:
        server: the server.
        asked: what the evaluator was asked to do.
        answers: the file of the answers.

    Attributes:
        sample: which of several answers to the same question is asked for.
        thinking_end: the mark that ends the thinking before an answer; '' if there is none.
    """

    def __init__(self, server: Server, asked: Evaluation, answers: Path, *, thinking_end: str = "") -> None:
        super().__init__()
        self.sample = 0
        self.thinking_end = thinking_end
        self._server, self._client, self._asked = server, Client(server), asked
        self._answers, self._lock = answers, threading.Lock()
        self._known: dict[str, Any] = {}
        self._tokens: dict[tuple[str, bool], list[int]] = {}
        if answers.is_file():
            for line in answers.read_bytes().split(b"\n")[:-1]:  # an incomplete last line is left out
                entry = json.loads(line)
                self._known[entry["key"]] = entry["answer"]

    # -- generation --------------------------------------------------------------------------------------------------------

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the conversation as JSON: the server renders it."""
        return json.dumps(chat_history, ensure_ascii=False)

    @property
    def tokenizer_name(self) -> str:
        """The name that lm-eval's caches have for the chat template."""
        return str(self._client.model)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the answers to conversations; '' for a request that failed."""
        questions = {self._key(*each.args): _question(self._key(*each.args), *each.args) for each in requests}
        new = [question for key, question in questions.items() if key not in self._known]
        asked = replace(
            self._asked, record=self._keep, recorded={}, limit=0, samples=1, seed=self._asked.seed + self.sample, expect=lambda count: None
        )
        if new:
            ask_all(self._server, new, asked, lambda question, answer: {})
        return [self._text(self._key(*each.args)) for each in requests]

    def status(self, context: str, settings: Mapping[str, Any]) -> Status:
        """Return the status of the answer to a conversation."""
        found: Status = self._known[self._key(context, settings)]["status"]
        return found

    def _key(self, context: str, settings: Mapping[str, Any]) -> str:
        return prompt_hash([context, json.dumps(settings, sort_keys=True), self.sample])

    def _keep(self, item: Item) -> None:
        """Keep an answer; one that failed is asked again when the run is resumed."""
        self._remember(item.id, asdict(item), durable=item.status != "failed")

    def _remember(self, key: str, answer: Any, *, durable: bool = True) -> None:
        with self._lock:
            self._known[key] = answer
            if durable:
                with self._answers.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "answer": answer}) + "\n")

    def _text(self, key: str) -> str:
        item = self._known[key]
        text = str(item["output"]) if item["status"] != "failed" else ""
        return text.rpartition(self.thinking_end)[2].lstrip() if self.thinking_end else text

    # -- log-likelihoods ---------------------------------------------------------------------------------------------------

    @property
    def eot_token_id(self) -> int:
        """The token before a continuation without context: the one that the tokenizer begins a text with.

        Raises:
            UsageError: the tokenizer has none.
        """
        tokens = self.tok_encode("")
        if not tokens:
            message = "a task scores texts without a context, and the model's tokenizer begins a text with no token"
            raise UsageError(message, code="EVAL-043", where="tasks", hint="Use another task.")
        return tokens[0]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Return the token ids of a text, as the server tokenizes it; by default with the special tokens that the tokenizer adds.

        Raises:
            SwiftError: the server does not tokenize.
        """
        special = add_special_tokens is not False
        if (string, special) not in self._tokens:
            body = {"model": self._client.model, "prompt": string, "add_special_tokens": special}
            try:
                self._tokens[string, special] = [int(token) for token in self._client.post("../tokenize", body)["tokens"]]
            except Refused as error:
                hint = "Log-likelihoods need a server with the route /tokenize, such as vLLM or swift serve."
                raise SwiftError(
                    f"the server does not tokenize: {error.message}", code="EVAL-044", where=self._server.url, hint=hint
                ) from None
        return self._tokens[string, special]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        with ThreadPoolExecutor(self._asked.concurrency, "score") as workers:
            return list(workers.map(lambda each: self._score(each[1], each[2]), requests))

    def _score(self, context: list[int], continuation: list[int]) -> tuple[float, bool]:
        tokens = [*context, *continuation]
        key = prompt_hash([*map(str, tokens), len(context)])
        if key not in self._known:
            response = self._post({"model": self._client.model, **request(tokens)})
            self._remember(key, continuation_score(response, len(context), len(tokens)))
        value, greedy = self._known[key]
        return value, greedy

    def _post(self, body: Mapping[str, Any]) -> Any:
        for attempt in range(TRIES):
            try:
                return self._client.post("/completions", body)
            except UsageError:
                raise
            except SwiftError:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(0.5 * 2**attempt)
        raise AssertionError

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Refuse: the windows of a text depend on the length of the model's context, which a server need not tell.

        Raises:
            UsageError: always.
        """
        message = "tasks that measure the perplexity of texts are not supported over a server"
        raise UsageError(message, code="EVAL-045", where="tasks", hint="Use the evaluator that loads the checkpoint itself.")


def _question(key: str, context: str, settings: Mapping[str, Any]) -> Question:
    stops = settings.get("until") or []
    stops = [stops] if isinstance(stops, str) else list(stops)
    fields = {
        "max_tokens": settings.get("max_gen_toks", MAX_TOKENS),
        "temperature": settings.get("temperature", 0.0) if settings.get("do_sample", False) else 0.0,
        **({"stop": [stop for stop in stops if stop][:4]} if any(stops) else {}),
    }
    return Question(task=_TASK, id=key, messages=json.loads(context), fields=fields)
