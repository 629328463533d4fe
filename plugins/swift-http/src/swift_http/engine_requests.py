"""Requests beside OpenAI's API, in vLLM's words: adapters that come and go, and texts as tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swift_http.requests import Message, Tools


class LoadAdapterRequest(BaseModel):
    """POST /v1/load_lora_adapter, as vLLM has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lora_name: Annotated[str, Field(min_length=1, max_length=200)]
    lora_path: Annotated[str, Field(min_length=1, max_length=4000)]
    allow_other_base: bool = False  # ours: take it even if it was trained on another base


class UnloadAdapterRequest(BaseModel):
    """POST /v1/unload_lora_adapter, as vLLM has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lora_name: str


class TokenizeRequest(BaseModel):
    """POST /tokenize, as vLLM has it: a prompt, or the messages of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    tools: Tools | None = None
    add_special_tokens: bool = True  # to a prompt: a conversation has those that its template writes
    add_generation_prompt: bool = True

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        if self.tools and self.messages is None:
            raise ValueError("'tools' go with 'messages'")
        return self


class DetokenizeRequest(BaseModel):
    """POST /detokenize, as vLLM has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0, lt=2**31)]]
