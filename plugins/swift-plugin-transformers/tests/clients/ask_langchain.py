"""LangChain's ChatOpenAI and OpenAIEmbeddings against the server whose URL is the argument."""

from __future__ import annotations

import sys
from typing import Annotated

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

REACH = {"base_url": sys.argv[1], "api_key": "sk-clients", "model": "m"}


@tool
def book(nights: Annotated[int, Field(ge=1, le=9)]) -> str:
    """Book a room."""
    return str(nights)


class City(BaseModel):
    """A city."""

    sure: bool
    size: int = Field(ge=0, le=9)


for responses in (False, True):
    chat = ChatOpenAI(**REACH, temperature=0, max_tokens=80, use_responses_api=responses)
    whole = chat.invoke("What is the capital of France?")
    assert whole.usage_metadata["output_tokens"] > 0
    pieces = list(chat.stream("What is the capital of France?"))
    assert "".join(piece.text for piece in pieces) == whole.text
    for choice in ("book", "any"):
        called = chat.bind_tools([book], tool_choice=choice).invoke("Book a room.")
        (call,) = called.tool_calls
        assert call["name"] == "book"
        assert isinstance(call["args"]["nights"], int)
    city = chat.with_structured_output(City).invoke("Name a city.")
    assert isinstance(city, City)
assert len(OpenAIEmbeddings(**REACH, check_embedding_ctx_length=False).embed_documents(["a b", "c"])) == 2
