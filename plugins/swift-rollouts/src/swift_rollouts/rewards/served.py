"""The score of a reward model, from its server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property

from swift_serve.client import Client, Refused

from swift_core.contract import Server, UsageError
from swift_core.options import option
from swift_rollouts.rewards.reward import Answered, Reward
from swift_rollouts.threads import in_threads

_AT_ONCE = 16  # requests


class ServedReward(Reward):
    """The score that a reward model gives to the conversation with the answer, over a URL."""

    url: str = option(..., "URL of its server, ending in /v1.")
    model: str = option("", "Name of the reward model on its server; default: its first model.")
    api_key_env: str = option("SWIFT_REWARD_API_KEY", "Environment variable with the API key of the server.")

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return the score of each answer.

        Raises:
            UsageError: the server has no reward model.
            SwiftError: the server failed.
        """
        found: list[float | None] = [None] * len(answers)
        for place, value in in_threads(self._score, answers, _AT_ONCE):
            found[place] = value
        return found

    def _score(self, answer: Answered) -> float:
        turns = answer.turns or ({"role": "assistant", "content": answer.text},)
        body = {"model": self._model, "messages": [*answer.messages, *turns], "use_activation": False}
        try:
            (scored,) = self._client.post("/classify", body)["data"]
            (value,) = scored["probs"]
            return float(value)
        except Refused as refused:
            why = f": {refused.message}"
        except (KeyError, TypeError, ValueError):
            why = ""
        hint = "Serve a checkpoint with one score, made by swift rm: swift serve CHECKPOINT."
        raise UsageError(f"the server of the reward model did not return one score{why}", code="RL-049", where=self.url, hint=hint)

    @cached_property
    def _client(self) -> Client:
        return Client(Server(self.url, (self.model,) if self.model else (), os.environ.get(self.api_key_env)))

    @cached_property
    def _model(self) -> str:
        return self._client.model
