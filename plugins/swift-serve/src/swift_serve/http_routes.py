"""The HTTP interface that swift-serve expects of an engine: the routes that it calls, with the fields that it sends and reads.

`docs/reference/backend-http.md` is made from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of an engine.

    Attributes:
        method: GET or POST.
        path: the path, as clients call it.
        need: `required` of every engine; `declared`, if the backend's spec says so; `probed`: used if it exists, and something else
            happens otherwise.
        use: what it is used for, and what happens without it.
        request: fields that are sent, each with its meaning.
        response: fields that are read, each with its meaning.
        checks: the conformance checks that send requests to it.
    """

    method: Literal["GET", "POST"]
    path: str
    need: Literal["required", "declared", "probed"]
    use: str
    request: Mapping[str, str] = field(default_factory=dict)
    response: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[str, ...] = ()


_MODEL = "a name that `/v1/models` lists; an unknown one is refused with 404"
_SAMPLING = {
    "max_tokens": "maximum number of new tokens; the answer then ends with `finish_reason` `length`",
    "temperature": "0 is greedy decoding: the same request gives the same answer",
    "top_p, seed": "nucleus sampling; seed of the sampling",
    "stop": "strings before which the answer ends; they are no part of it, streamed or not",
}

ROUTES = (
    Route(
        method="GET",
        path="/health",
        need="required",
        use="Polled until it returns 200: the engine is ready. `Command.ready` may name another path. No key is sent.",
        checks=("check_serves", "check_missing_checkpoint_exits"),
    ),
    Route(
        method="GET",
        path="/v1/models",
        need="required",
        use="The model names that clients send: the base first, and each adapter by the name that `BackendSpec.adapter_names` gives.",
        response={"data[].id": "a model name"},
        checks=("check_serves",),
    ),
    Route(
        method="POST",
        path="/v1/chat/completions",
        need="required",
        use="`swift ask`, `swift infer`, evaluators, recipes, `swift_serve.chat`.",
        request={
            "model": _MODEL,
            "messages": "the conversation, in OpenAI's format; `content` is text, or parts such as `text`, `image_url`, `input_audio`",
            "stream": "true: server-sent events; false: one JSON object",
            "tools": "functions that the model may call",
            "chat_template_kwargs": "variables of the chat template; sent only for rows that have them",
            **_SAMPLING,
            "logprobs, top_logprobs": "log-probabilities; sent only by the acceptance checks and by `swift check-parity`",
        },
        response={
            "choices[0].message.content": "the answer",
            "choices[0].finish_reason": "`stop` or `length`",
            "choices[0].delta.content": "in a stream: the next piece of the answer; the pieces joined are the answer without streaming",
            "usage.prompt_tokens": "number of tokens of the prompt, for token parity",
            "choices[0].logprobs.content[]": "`token`, `logprob` and `top_logprobs` of each token, if they were requested",
        },
        checks=(
            "check_streaming",
            "check_max_tokens",
            "check_stop_strings",
            "check_stop_strings_in_stream",
            "check_unknown_model_is_refused",
            "check_client_disconnect",
        ),
    ),
    Route(
        method="POST",
        path="/v1/completions",
        need="declared",
        use="If `BackendSpec.serves` has `completions`. Token parity and the check of adapters use it if it exists.",
        request={
            "model": _MODEL,
            "prompt": "text, or a list of token ids, which are used unchanged",
            **_SAMPLING,
            "logprobs": "number of alternatives per token",
        },
        response={
            "choices[0].text": "the continuation",
            "choices[0].logprobs": "`tokens`, `token_logprobs` and `top_logprobs`, lists of equal length",
            "usage.prompt_tokens": "number of tokens of the prompt",
        },
        checks=("check_routes",),
    ),
    Route(
        method="POST",
        path="/tokenize",
        need="probed",
        use="Token parity, exactly. Without it, each golden conversation is answered twice, as messages and as token ids, and "
        "the log-probabilities are compared.",
        request={
            "model": _MODEL,
            "messages, tools": "the conversation",
            "add_generation_prompt": "true: the ids end with the opening of the assistant's turn",
            "add_special_tokens": "false: the chat template writes them",
        },
        response={"tokens": "the token ids"},
        checks=("check_prompt_tokens",),
    ),
    Route(
        method="POST",
        path="/detokenize",
        need="probed",
        use="The text of tokens in the message about a difference. Without it, the message has only the ids.",
        request={"model": _MODEL, "tokens": "token ids"},
        response={"prompt or text": "their text"},
    ),
    Route(
        method="GET",
        path="/metrics",
        need="probed",
        use="Shown as the address of the metrics (Prometheus text format) if it returns 200.",
    ),
    Route(
        method="POST",
        path="/v1/load_lora_adapter",
        need="declared",
        use="If `BackendSpec.runtime_adapters`: what `Backend.add_adapter` usually calls (vLLM's route; SGLang has it outside /v1).",
        request={"lora_name": "the adapter's name", "lora_path": "its folder, which the engine can read"},
        checks=("check_runtime_adapters",),
    ),
    Route(
        method="POST",
        path="/v1/unload_lora_adapter",
        need="declared",
        use="If `BackendSpec.runtime_adapters`: what `Backend.drop_adapter` usually calls.",
        request={"lora_name": "the adapter's name"},
        checks=("check_runtime_adapters",),
    ),
    Route(
        method="POST",
        path="/v1/embeddings",
        need="declared",
        use="If `BackendSpec.serves` has `embeddings`: `swift infer` with an embedding model.",
        request={"model": _MODEL, "input": "a text"},
        response={"data[0].embedding": "the vector"},
        checks=("check_api_key_is_required",),
    ),
    Route(
        method="POST",
        path="/v1/classify",
        need="declared",
        use="If `BackendSpec.serves` has `classify`: `swift infer` with a classifier or reward model; if it has "
        "`token_classify`, with a token classifier. vLLM has it outside /v1.",
        request={"model": _MODEL, "input": "a text", "messages": "or a conversation"},
        response={
            "data[0].label": "name of the class",
            "data[0].probs": "a number for each class",
            "data[0].tokens": "or of a token classifier: start, end, text, label and probs of each word or token",
        },
        checks=("check_api_key_is_required",),
    ),
    Route(
        method="POST",
        path="/v1/score",
        need="declared",
        use="If `BackendSpec.serves` has `score`: `swift infer` with a reranker.",
        request={"model": _MODEL, "text_1": "the query", "text_2": "its documents"},
        response={"data[].score": "the score of each document"},
        checks=("check_api_key_is_required",),
    ),
    Route(
        method="POST",
        path="/v1/rerank",
        need="probed",
        use="Only to check that it requires the API key; clients of rerankers call it.",
        request={"model": _MODEL, "query": "the query", "documents": "its documents"},
        checks=("check_api_key_is_required",),
    ),
    Route(
        method="POST",
        path="/v1/responses",
        need="probed",
        use="Only to check that it requires the API key.",
        request={"model": _MODEL, "input": "a text", "max_output_tokens": "1"},
        checks=("check_api_key_is_required",),
    ),
)

RULES: Mapping[str, str] = {
    "API key": "`Authorization: Bearer KEY`. With a key (`Serving.api_key`), every route that computes or changes something returns 401 or "
    "403 without it and with a wrong one; otherwise the server is not reported ready. Routes that only give information should too.",
    "Errors": 'A status of 400 to 499 with `{"error": {"message": …}}`: the request was wrong, and the message is shown to the user. '
    "401, 403: the key. 404 with a `model` in the request: the model is unknown. 500 and more: the engine failed. "
    "Of any other body the beginning is shown.",
    "Busy": "429 or 503, with `Retry-After` in seconds if it is known: the client waits and tries again, six times in all.",
    "Streams": "Lines `data: JSON`, the last one `data: [DONE]`. A stream that ends without it counts as lost. A failure in the middle "
    'is an event `{"error": {"message": …}}`.',
    "Cancelled requests": "A client that closes the connection ends its request; others get the same answers as before.",
    "Signals": "SIGTERM ends the engine with all its processes within 60 seconds and frees the port, in the middle of an answer too.",
    "A bad start": "With a missing checkpoint the process exits with a code other than 0, and its log names the checkpoint.",
}
