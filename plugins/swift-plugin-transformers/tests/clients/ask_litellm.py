"""LiteLLM against the server whose URL is the argument."""

from __future__ import annotations

import json
import sys

import litellm

MODEL = {"model": "openai/m", "api_base": sys.argv[1], "api_key": "sk-clients"}
ASK = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}}, "required": ["city"]},
    },
}

whole = litellm.completion(**MODEL, messages=ASK, max_tokens=8, temperature=0)
assert whole.usage.completion_tokens <= 8
pieces = litellm.completion(**MODEL, messages=ASK, max_tokens=8, temperature=0, stream=True, stream_options={"include_usage": True})
assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == whole.choices[0].message.content
called = litellm.completion(**MODEL, messages=ASK, tools=[TOOL], tool_choice="required", max_tokens=60)
(call,) = called.choices[0].message.tool_calls
assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
penalised = litellm.completion(**MODEL, messages=ASK, max_tokens=8, frequency_penalty=1.0, presence_penalty=1.0, seed=1, stop=["zzz"])
assert penalised.choices[0].finish_reason in ("stop", "length")
assert len(litellm.embedding(**MODEL, input=["a b", "c"]).data) == 2
assert litellm.responses(**MODEL, input="Hi", max_output_tokens=8).status in ("completed", "incomplete")
refused = ""
try:
    litellm.completion(**MODEL, messages=ASK, extra_body={"temprature": 1})
except litellm.BadRequestError as error:
    refused = str(error)
assert "temprature" in refused
