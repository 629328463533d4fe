"""What requests say of the choice of tokens, batched and one by one, against the same computed by hand from the model's logits."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import openai
import pytest
import torch
from swift_http import Limits, Sampling, create_app
from swift_http.fuzzing import mutations
from swift_http.server import Server, bind, url_of
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.sequential import SequentialWorker
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_plugin_transformers.varlen import VarlenUnsupported

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% if mood %}mood {{ mood }} {% endif %}"
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{{ message.content }} {% endfor %}{{ bos_token }}"
)
PROMPT = "The history of the city begins with the city of the river"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {"city": {"$ref": "#/$defs/city"}, "nights": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["city", "nights"],
                "$defs": {"city": {"enum": ["Paris", "Rome"]}},
            },
        },
    },
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"hot": {"type": "boolean"}}}}},
    {"type": "function", "function": {"name": "now"}},
]
SCHEMAS = {tool["function"]["name"]: tool["function"].get("parameters", {"maxProperties": 0}) for tool in TOOLS}


class Asked:
    """The engine behind the app, on a port."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.engine = engine
        self.socket = bind("127.0.0.1", 0)
        self.server = Server(create_app(engine, limits=Limits()), lambda: None, grace=0.2)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        self.openai = openai.OpenAI(base_url=url_of(self.socket), api_key="none", max_retries=0)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.engine.close()
        self.socket.close()

    def tokens(self, **more: Any) -> tuple[list[int], str]:
        """Token ids of an answer, and why it ended."""
        known = {
            name: more.pop(name) for name in ("frequency_penalty", "presence_penalty", "logit_bias", "seed", "logprobs") if name in more
        }
        wishes = {"temperature": 0, "max_tokens": 24, **{name: more.pop(name) for name in ("temperature", "max_tokens") if name in more}}
        extra = {"return_token_ids": True, **more}
        choice: Any = self.openai.completions.create(model="m", prompt=PROMPT, extra_body=extra, **known, **wishes).choices[0]
        return list(choice.token_ids), str(choice.finish_reason)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return httpx2.post(url_of(self.socket).removesuffix("/v1") + path, json=body, timeout=300)


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a template that takes tools, and reads a variable."""
    folder = tmp_path_factory.mktemp("tools") / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module", params=["batched", "sequential"])
def served(request: pytest.FixtureRequest, checkpoint: Path) -> Iterator[Asked]:
    def never(model: Any) -> float:
        raise VarlenUnsupported("a test says so")

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sequential":
            patch.setattr("swift_plugin_transformers.engine.probe", never)
        engine = load(checkpoint, {}, "m", ServeOptions(device="cpu", dtype="float32", memory="64MB"))
    assert isinstance(engine.worker, Batcher if request.param == "batched" else SequentialWorker)
    asked = Asked(engine)
    yield asked
    asked.close()


def by_hand(served: Asked, count: int, change: Callable[[torch.Tensor, list[int], list[int]], torch.Tensor]) -> list[int]:
    """The likeliest tokens, of logits that `change(logits, prompt, answer)` has changed, until one of the model's ends."""
    model, prompt = served.engine._served.unwrapped, served.engine.encode(PROMPT)
    said: list[int] = []
    with torch.inference_mode():
        while len(said) < count and not (said and said[-1] in served.engine._served.eos_token_ids):
            logits = model(input_ids=torch.tensor([prompt + said]), use_cache=False).logits[0, -1]
            said.append(int(change(logits.clone(), prompt, said).argmax()))
    return said


def penalised(frequency: float, presence: float) -> Callable[[torch.Tensor, list[int], list[int]], torch.Tensor]:
    def change(logits: torch.Tensor, prompt: list[int], said: list[int]) -> torch.Tensor:
        for token in set(said):
            logits[token] -= said.count(token) * frequency + presence
        return logits

    return change


@pytest.mark.parametrize(("frequency", "presence"), [(2.0, 0.0), (0.0, 2.0), (0.7, 1.1), (-2.0, -2.0)])
def test_penalties_count_the_tokens_of_the_answer(served: Asked, frequency: float, presence: float):
    expected = by_hand(served, 24, penalised(frequency, presence))
    assert served.tokens(frequency_penalty=frequency, presence_penalty=presence)[0] == expected
    if frequency > 0:
        assert expected != by_hand(served, 24, penalised(0, 0))


def test_the_repetition_penalty_counts_the_prompt_too(served: Asked):
    def change(logits: torch.Tensor, prompt: list[int], said: list[int]) -> torch.Tensor:
        for token in {*prompt, *said}:
            logits[token] = logits[token] / 1.8 if logits[token] > 0 else logits[token] * 1.8
        return logits

    assert served.tokens(repetition_penalty=1.8)[0] == by_hand(served, 24, change)


def test_a_bias_is_added(served: Asked):
    plain = served.tokens()[0]

    def change(logits: torch.Tensor, prompt: list[int], said: list[int]) -> torch.Tensor:
        logits[plain[0]] -= 100
        logits[77] += 3
        return logits

    assert served.tokens(logit_bias={str(plain[0]): -100, "77": 3})[0] == by_hand(served, 24, change)
    assert served.tokens(logit_bias={"77": 100}, temperature=1.0, seed=3)[0] == [77] * 24


def test_ends(served: Asked):
    end = min(served.engine._served.eos_token_ids)
    forced = {"logit_bias": {str(end): 100}}
    assert served.tokens(**forced) == ([end], "stop")
    tokens, why = served.tokens(**forced, min_tokens=5)
    assert (len(tokens), tokens[-1], why) == (6, end, "stop")
    assert not set(tokens[:-1]) & served.engine._served.eos_token_ids
    assert served.tokens(**forced, ignore_eos=True, max_tokens=9) == ([end] * 9, "length")
    plain = served.tokens(ignore_eos=True)[0]
    stop = plain[7]
    assert served.tokens(stop_token_ids=[stop]) == (plain[: plain.index(stop) + 1], "stop")
    assert served.tokens(stop_token_ids=[stop], ignore_eos=True)[1] == "stop"
    later = served.tokens(stop_token_ids=[stop], min_tokens=12)[0]
    assert stop not in later[:12]


def test_log_probabilities_are_the_model_s_own(served: Asked):
    asked: Any = {"model": "m", "prompt": PROMPT, "max_tokens": 4, "temperature": 0, "logprobs": 1}
    plain = served.openai.completions.create(**asked).choices[0].logprobs
    assert plain
    assert plain.token_logprobs
    biased = served.openai.completions.create(**asked, logit_bias={"77": 100}, extra_body={"repetition_penalty": 2.0}).choices[0].logprobs
    assert biased
    assert biased.token_logprobs
    assert biased.token_logprobs[0] < plain.token_logprobs[0]  # of a token that is not the likeliest


def test_the_chosen_token_is_among_the_likeliest_of_a_completion(served: Asked):
    asked: Any = {"model": "m", "prompt": PROMPT, "max_tokens": 3, "temperature": 0, "logprobs": 1, "logit_bias": {"77": 100}}
    reported = served.openai.completions.create(**asked).choices[0].logprobs
    assert reported
    for token, value, likeliest in zip(reported.tokens or [], reported.token_logprobs or [], reported.top_logprobs or [], strict=True):
        assert likeliest[token] == value
        assert max(likeliest.values()) > value


def test_more_tokens_than_fit(served: Asked):
    response = served.post("/v1/completions", {"model": "m", "prompt": PROMPT, "max_tokens": None, "min_tokens": 10**7})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_schema_that_comes_to_no_end(served: Asked):
    schema = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    response = served.post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "go"}], **asked})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "response_format")


@pytest.mark.parametrize("field", ["stop_token_ids", "logit_bias"])
def test_tokens_that_are_not_there(served: Asked, field: str):
    value = [10**6] if field == "stop_token_ids" else {str(10**6): 1}
    response = served.post("/v1/completions", {"model": "m", "prompt": "a", field: value})
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": [10**6]}),
        ("/v1/completions", {"prompt": [10**6], "echo": True, "max_tokens": 0}),
        ("/v1/completions", {"prompt": [10**6], "stream": True}),
        ("/v1/embeddings", {"input": [10**6]}),
        ("/detokenize", {"tokens": [10**6]}),
        ("/detokenize", {"tokens": [-1]}),
    ],
)
def test_prompts_of_tokens_that_are_not_there(served: Asked, path: str, body: dict[str, Any]):
    response = served.post(path, {"model": "m", **body})
    assert response.status_code == 400, response.text


# -- calls ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.5, "seed": 1}, {"temperature": 1.5, "seed": 5}])
@pytest.mark.parametrize("choice", ["required", "book", "weather", "now"])
def test_a_call_comes_with_valid_arguments(served: Asked, choice: str, sampling: dict[str, Any]):
    named = choice if choice == "required" else {"type": "function", "function": {"name": choice}}
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": TOOLS, "tool_choice": named, "max_tokens": 60}
    answer = served.openai.chat.completions.create(**asked, **sampling).choices[0]
    (call,) = answer.message.tool_calls or []
    assert answer.finish_reason == "tool_calls"
    assert call.type == "function"
    assert call.function.name in SCHEMAS if choice == "required" else call.function.name == choice
    jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
    chunks = list(served.openai.chat.completions.create(**asked, **sampling, stream=True))
    assert chunks[-1].choices[0].delta.tool_calls[0].function.arguments == call.function.arguments


def test_several_calls(served: Asked):
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": TOOLS, "tool_choice": "required"}
    answer = served.openai.chat.completions.create(**asked, parallel_tool_calls=True, max_tokens=90, temperature=1.0, seed=2).choices[0]
    for call in answer.message.tool_calls or []:
        assert call.type == "function"
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
    assert answer.message.tool_calls or answer.finish_reason == "length"


def test_arguments_that_no_grammar_can_follow(served: Asked):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}}}
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": [tool], "tool_choice": "required"}
    response = served.post("/v1/chat/completions", body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tools")


# -- templates -----------------------------------------------------------------------------------------------------------


def test_variables_of_the_template(served: Asked):
    ask: dict[str, Any] = {"messages": [{"role": "user", "content": "go"}]}

    def text(**more: Any) -> str:
        tokens = served.post("/tokenize", {**ask, **more}).json()["tokens"]
        return str(served.post("/detokenize", {"tokens": tokens}).json()["prompt"])

    assert text(chat_template_kwargs={"mood": "good"}) == "mood good " + text()
    for name in ("temper", "messages", "tools", "chat_template", "add_generation_prompt", "bos_token", "raise_exception", "tokenize"):
        for path in ("/tokenize", "/v1/chat/completions"):
            body = {**ask, "model": "m", "chat_template_kwargs": {name: "x"}}
            response = served.post(path, body)
            assert (response.status_code, response.json()["error"]["param"]) == (400, "chat_template_kwargs"), name
            assert "Its variables: mood." in response.text
    response = served.post("/v1/chat/completions", {**ask, "model": "m", "reasoning_effort": "low"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "reasoning_effort")


def test_what_the_template_refuses(served: Asked):
    for path in ("/v1/chat/completions", "/tokenize"):
        response = served.post(path, {"model": "m", "messages": [{"role": "system", "content": "x"}]})
        assert response.status_code == 400
        assert "no system turns" in response.text


# -- bodies that no client should send -----------------------------------------------------------------------------------


def test_one_bad_value_is_never_a_failure(served: Asked):
    """The wider test is swift-http's own; here is what only a real tokenizer, a real template and a real model could stumble over."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": TOOLS[1:2], "tool_choice": "auto", "max_tokens": 1}
    complete = {"model": "m", "prompt": [5, 6], "max_tokens": 1, "logit_bias": {"5": 1}, "stop_token_ids": [7], "top_k": 5, "seed": 3}
    url = url_of(served.socket)
    with httpx2.Client(timeout=300, headers={"Content-Type": "application/json"}) as client:
        for path, body in (("/chat/completions", chat), ("/completions", complete)):
            for words, content in mutations(body):
                response = client.post(url + path, content=content)
                assert response.status_code < 500, (path, words, response.text)
    assert served.engine.fault is None


def test_values_that_take_nothing_away_cost_nothing(served: Asked) -> None:
    """Clients such as online training send every field; each processor is a pass over the vocabulary at every token."""
    neutral = Sampling(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, repetition_penalty=1.0)
    model = served.engine._served
    assert not model.logits_processors(model.generation_config(3, neutral), 3, [])
    assert len(model.logits_processors(model.generation_config(3, replace(neutral, min_p=0.1)), 3, [])) == 1
