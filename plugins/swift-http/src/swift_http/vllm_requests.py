"""Requests of extensions to OpenAI's API, by vLLM and SGLang: runtime adapters, other weights, tokenize and detokenize."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swift_http.messages import Message, Tools
from swift_http.request_body import RequestBody
from swift_http.requests import TokenId


class LoadAdapterRequest(RequestBody):
    """Body of POST /v1/load_lora_adapter."""

    lora_name: Annotated[str, Field(min_length=1, max_length=200)]
    lora_path: Annotated[str, Field(min_length=1, max_length=4000)]
    allow_other_base: bool = False  # not in vLLM: accept an adapter that was trained on another base


class UnloadAdapterRequest(RequestBody):
    """Body of POST /v1/unload_lora_adapter."""

    lora_name: str


class UpdateWeightsRequest(RequestBody):
    """Body of POST /update_weights_from_disk, a route of SGLang."""

    model_path: Annotated[str, Field(min_length=1, max_length=4000)]
    flush_cache: Literal[True] = True  # cached prefixes are always dropped


class TokenizeRequest(RequestBody):
    """Body of POST /tokenize: either a prompt or the messages of a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    tools: Tools | None = None
    add_special_tokens: bool = True  # to a prompt; in a conversation the chat template writes them
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _prompt_or_messages(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        for field in ("tools", "chat_template_kwargs"):
            if getattr(self, field) and self.messages is None:
                raise ValueError(f"'{field}' requires 'messages'")
        return self


class DetokenizeRequest(RequestBody):
    """Body of POST /detokenize."""

    model: str | None = None
    tokens: list[TokenId]
