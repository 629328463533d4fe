"""Ask a server for answers, tokens in and tokens out: prompts are sent as token ids, and nothing is tokenised twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swift_serve.client import Client, Refused

from swift_core.contract import Server, SwiftError, UsageError
from swift_rollouts.chat_prompts import Fields, as_completions
from swift_rollouts.generation import Answer
from swift_rollouts.options import RolloutOptions

_AT_ONCE = 64  # answers per request
_TOLERANCE = 1e-3  # nats
_TOKENIZER = "Serve the model that is trained, with its own tokenizer."
_PROCESSOR = "Serve the model that is trained, with its own processor and chat template, and save other sizes of media with it."


@dataclass(frozen=True, slots=True)
class Engine:
    """A server and how it is asked.

    Attributes:
        server: the server.
        options: of the sampling.
        vocabulary: number of the token ids of the model that is trained.
    """

    server: Server
    options: RolloutOptions
    vocabulary: int

    def answers(
        self, ids: Sequence[int], count: int, *, model: str, seed: int, max_tokens: int = 0, chat: Fields | None = None
    ) -> list[Answer]:
        """Return answers to a prompt.

        Args:
            ids: token ids of the prompt.
            count: number of answers; each has a seed of its own.
            model: name of the model or adapter on the server.
            seed: of the first answer.
            max_tokens: maximum tokens of an answer; 0: `max_completion_length`.
            chat: fields of a chat request for the same prompt, if it has media.

        Raises:
            UsageError: the server refuses the request, renders another prompt, or does not return token ids and log-probabilities.
            SwiftError: the connection was refused or lost, the server failed, or it is full.
        """
        found: list[Answer] = []
        for start in range(0, count, _AT_ONCE):
            body = self._request(ids, model, max_tokens, chat) | {"n": min(_AT_ONCE, count - start), "seed": seed + start}
            found += [self._answer(choice, ids, rendered=chat is not None) for choice in self._post(body)]
        if len(found) != count:
            raise self._wrong(f"returned {len(found)} answers instead of {count}")
        return found

    def check(self, ids: Sequence[int], text: str, tokens: Sequence[int], model: str, chat: Fields | None = None) -> None:
        """Check the server with a prompt before the first step.

        Args:
            ids, text: a prompt, as token ids and as text.
            tokens: what the tokenizer of the model that is trained makes of that text.
            model: name of the model on the server.
            chat: fields of a chat request for the prompt, if it has media.

        Raises:
            UsageError: it has another tokenizer, returns no token ids, or its log-probabilities do not belong to the sampled distribution.
        """
        try:
            own = Client(self.server).post("../tokenize", {"model": model, "prompt": text, "add_special_tokens": False})["tokens"]
        except (Refused, KeyError, TypeError):
            own = list(tokens)  # it has no such route
        if list(own) != list(tokens):
            raise self._wrong("has another tokenizer than the model that is trained", _TOKENIZER)
        self.answers(ids, 1, model=model, seed=0, max_tokens=1, chat=chat)
        if (self.options.temperature != 1 or self.options.truncated) and not self._processes(ids, model, chat):
            raise self._wrong(
                "returns log-probabilities of the model and not of the distribution that it samples from",
                "Start it with --logprobs-mode processed_logprobs, or set temperature and top_p to 1 and top_k to -1.",
            )

    def _processes(self, ids: Sequence[int], model: str, chat: Fields | None) -> bool:
        """Return whether log-probabilities depend on the temperature."""
        top = {"logprobs": True, "top_logprobs": 1} if chat else {"logprobs": 1}
        body = self._request(ids, model, 1, chat) | {**top, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "seed": 0}
        tops = []
        for temperature in (1.0, 0.5):
            (choice,) = self._post({**body, "temperature": temperature})
            try:
                tops.append(max(choice["logprobs"]["top_logprobs"][0].values()))
            except (KeyError, TypeError, IndexError):
                raise self._wrong("returns no log-probabilities") from None
        return bool(abs(tops[0] - tops[1]) > _TOLERANCE)

    def _request(self, ids: Sequence[int], model: str, max_tokens: int, chat: Fields | None) -> dict[str, Any]:
        options = self.options
        prompt = {**chat, "logprobs": True} if chat else {"prompt": list(ids), "logprobs": 0}
        return {
            **prompt, "model": model, "max_tokens": max_tokens or options.max_completion_length,
            "temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k, "min_p": options.min_p,
            "repetition_penalty": options.repetition_penalty, "return_token_ids": True,
            **({"stop": options.stop} if options.stop else {}),
        }  # fmt: skip

    def _post(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        chat = "messages" in body
        reply = Client(self.server).post("/chat/completions" if chat else "/completions", body)
        try:
            return as_completions(reply) if chat else list(reply["choices"])
        except (KeyError, TypeError):
            raise self._wrong("did not return completions") from None

    def _answer(self, choice: dict[str, Any], prompt: Sequence[int], *, rendered: bool) -> Answer:
        ids, logprobs = choice.get("token_ids"), (choice.get("logprobs") or {}).get("token_logprobs")
        if not isinstance(ids, list) or not ids:
            raise self._wrong("does not return token ids", "It needs the field return_token_ids, as vLLM and swift serve have it.")
        if not isinstance(logprobs, list) or len(logprobs) != len(ids) or None in logprobs:
            raise self._wrong("does not return a log-probability for each token")
        if not all(isinstance(token, int) and 0 <= token < self.vocabulary for token in ids):
            raise self._wrong("returned a token that the model that is trained does not have", _TOKENIZER)
        if not all(math.isfinite(value) for value in logprobs):
            raise self._wrong("returned a log-probability that is not finite", "Serve the model in float32 or bfloat16.")
        asked = choice.get("prompt_token_ids")
        if rendered and asked != list(prompt):
            tokens = f"{len(asked)} tokens where the model that is trained has {len(prompt)}" if asked else "no token ids"
            raise self._wrong(f"returned another prompt of a row with media ({tokens})", _PROCESSOR)
        if asked is not None and list(asked) != list(prompt):
            raise self._wrong("answered other tokens than it was asked", _TOKENIZER)
        return Answer(
            [int(token) for token in ids], [float(value) for value in logprobs], str(choice["text"]), str(choice["finish_reason"])
        )

    def _wrong(self, what: str, hint: str = "Use another server: --rollout NAME or --rollout URL.") -> SwiftError:
        return UsageError(f"the rollout server {what}", code="RL-003", where=self.server.url, hint=hint)
