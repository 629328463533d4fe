"""Prompts with media as chat requests: of the routes of OpenAI's API, only that of conversations takes files.

The server renders and tokenises such a prompt itself, and returns the token ids, which must be those that are trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_data.rows.conversations import with_default_system
from swift_serve.messages import api_message

if TYPE_CHECKING:
    from swift_rollouts.prompts import PromptFacts

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatPrompts:
    """Makes the fields of chat requests.

    Attributes:
        facts: of the prompts, by index.
        system: default system prompt.
        tools: definitions of the tools, for rows that have none.
    """

    facts: Sequence[PromptFacts]
    system: str
    tools: Sequence[Mapping[str, Any]] = ()

    def fields(self, prompt: int) -> Fields | None:
        """Return the fields of the request for a prompt, with the contents of its files; None if it has no media."""
        facts = self.facts[prompt]
        if not facts.has_media:
            return None
        messages = [api_message(message) for message in with_default_system(tuple(facts.messages), self.system)]
        tools = {"tools": list(facts.tools or self.tools), "tool_choice": "none"} if facts.tools or self.tools else {}
        variables = {"chat_template_kwargs": dict(facts.variables)} if facts.variables else {}
        return {"messages": messages, **tools, **variables}


def as_completions(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the choices of a chat reply as those of a completion.

    Raises:
        KeyError, TypeError: it is not the reply to a chat request.
    """
    prompt = {"prompt_token_ids": reply.get("prompt_token_ids")}
    return [{**choice, **prompt, "text": choice["message"].get("content") or "", "logprobs": _lists(choice)} for choice in reply["choices"]]


def _lists(choice: Mapping[str, Any]) -> dict[str, Any]:
    tokens = (choice.get("logprobs") or {}).get("content") or []
    return {
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in tokens],
    }
