"""Requests beside OpenAI's API, in vLLM's words: adapters that come and go, and texts as tokens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from swift_http.bodies import Body
from swift_http.messages import Message, Tools
from swift_http.requests import TokenId


class LoadAdapterRequest(Body):
    """POST /v1/load_lora_adapter, as vLLM has it."""

    lora_name: Annotated[str, Field(min_length=1, max_length=200)]
    lora_path: Annotated[str, Field(min_length=1, max_length=4000)]
    allow_other_base: bool = False  # ours: take it even if it was trained on another base


class UnloadAdapterRequest(Body):
    """POST /v1/unload_lora_adapter, as vLLM has it."""

    lora_name: str


class TokenizeRequest(Body):
    """POST /tokenize, as vLLM has it: a prompt, or the messages of a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    tools: Tools | None = None
    add_special_tokens: bool = True  # to a prompt: a conversation has those that its template writes
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        for field in ("tools", "chat_template_kwargs"):
            if getattr(self, field) and self.messages is None:
                raise ValueError(f"'{field}' go with 'messages'")
        return self


class DetokenizeRequest(Body):
    """POST /detokenize, as vLLM has it."""

    model: str | None = None
    tokens: list[TokenId]
