"""What the embedded server does beside served, through the `openai` client: schemas, several answers, vectors, adapters, limits."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import openai
import pytest
import torch
from swift_http import Limits, create_app
from swift_http.disconnects import DisconnectingClient
from swift_http.server import Server, bind, url_of
from swift_http.testing import until
from swift_plugin_transformers.backend import TransformersBackend
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.sequential import SequentialWorker
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_plugin_transformers.varlen import VarlenUnsupported
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server as Served

ASK: Any = [{"role": "user", "content": "What is the capital of France?"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "sure": {"type": "boolean"}, "size": {"type": "integer", "maximum": 99}},
    "required": ["city", "sure", "size"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}


class Running:
    """The engine behind the app on a port, in this process."""

    def __init__(self, checkpoint: Path, folders: list[Path] | None = None, limits: Limits | None = None, **options: Any) -> None:
        self.engine: EmbeddedEngine = load(checkpoint, {}, "m", ServeOptions(device="cpu", dtype="float32", memory="64MB", **options))
        self.socket = bind("127.0.0.1", 0)
        self.url = url_of(self.socket)
        self.server = Server(create_app(self.engine, limits=limits, adapter_folders=folders or []), lambda: None, grace=0.2)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.openai = openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)

    def __enter__(self) -> Running:
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.engine.close()
        self.socket.close()

    def text(self, model: str = "m", **more: Any) -> str:
        answer = self.openai.chat.completions.create(model=model, messages=ASK, **{"temperature": 0, "max_tokens": 12, **more})
        return answer.choices[0].message.content or ""


@pytest.fixture(scope="module")
def roots(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters that plainly change what the model says."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("roots")
    for seed, name in enumerate(("poet", "cook"), 1):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), config).save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def served(tiny_model: Path, roots: Path) -> Iterator[Running]:
    with Running(tiny_model, [roots]) as running:
        yield running


# -- schemas -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.5, "seed": 1}, {"temperature": 1.5, "top_p": 0.9, "seed": 2}])
def test_answers_follow_a_schema(served: Running, sampling: dict[str, Any]):
    text = served.text(response_format=FORMAT, max_tokens=100, **sampling)
    jsonschema.validate(json.loads(text), SCHEMA)
    assert '"city"' in text


def test_answers_with_a_schema_stand_beside_others(served: Running):
    alone = served.text(max_tokens=30)
    with ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(served.text, max_tokens=100 if number % 2 else 30, **({"response_format": FORMAT} if number % 2 else {}))
            for number in range(8)
        ]
    for number, answer in enumerate(asked):
        if number % 2:
            jsonschema.validate(json.loads(answer.result()), SCHEMA)
        else:
            assert answer.result() == alone


def test_json_object(served: Running):
    text = served.text(response_format={"type": "json_object"}, max_tokens=60, temperature=1.0, seed=4)
    assert text.lstrip().startswith("{")


def test_a_schema_that_cannot_be_followed_is_refused(served: Running):
    for schema in ({"type": "objekt"}, {"$ref": "#/nowhere"}, {"$ref": "http://127.0.0.1:1/schema.json"}, {"$ref": "file:///etc/passwd"}):
        wrong: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        with pytest.raises(openai.BadRequestError, match="unsupported JSON Schema"):
            served.text(response_format=wrong)


def test_without_the_library_schemas_are_refused(served: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(openai.BadRequestError, match=r"pip install 'swift-plugin-transformers\[structured\]'"):
        served.text(response_format=FORMAT)


# -- several answers, vectors --------------------------------------------------------------------------------------------


def test_n_answers(served: Running):
    answer = served.openai.chat.completions.create(model="m", messages=ASK, n=4, temperature=1.5, seed=7, max_tokens=20)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) > 1
    again = served.openai.chat.completions.create(model="m", messages=ASK, n=4, temperature=1.5, seed=7, max_tokens=20)
    assert [choice.message.content for choice in again.choices] == texts
    assert served.text(temperature=1.5, seed=8, max_tokens=20) == texts[1]


def test_embeddings_are_the_mean_of_the_last_hidden_states(served: Running, tiny_model: Path):
    from transformers import AutoModel, AutoTokenizer

    texts = ["The capital of France", "a"]
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_model), AutoModel.from_pretrained(tiny_model, dtype=torch.float32)
    got = served.openai.embeddings.create(model="m", input=texts)
    for item, text in zip(got.data, texts, strict=True):
        with torch.inference_mode():
            mean = model(torch.tensor([tokenizer.encode(text)])).last_hidden_state[0].mean(0)
        assert item.embedding == pytest.approx((mean / mean.norm()).tolist(), abs=1e-4)
    plain = served.openai.embeddings.create(model="m", input=texts, encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(got.data[0].embedding, abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="999999"):
        served.openai.embeddings.create(model="m", input=[999999])


# -- adapters by request -------------------------------------------------------------------------------------------------


def test_adapters_come_and_go_while_others_are_answered(served: Running, roots: Path):
    base = served.text(max_tokens=30)
    backend = TransformersBackend(ServeOptions(adapter_folder=[str(roots)]))
    where = Served(served.url, ("m",))
    with ThreadPoolExecutor(4) as threads:
        beside = [threads.submit(served.text, max_tokens=30) for _ in range(6)]
        backend.add_adapter(where, "poet", roots / "poet")
        backend.add_adapter(where, "cook", roots / "cook")
        assert [answer.result() for answer in beside] == [base] * 6
        poet, cook = served.text("poet", max_tokens=30), served.text("cook", max_tokens=30)
        assert len({base, poet, cook}) == 3
        mixed = [threads.submit(served.text, name, max_tokens=30) for name in ("m", "poet", "cook") * 3]
        assert [answer.result() for answer in mixed] == [base, poet, cook] * 3
    with pytest.raises(UsageError, check=coded("SERVE-087"), match="already served"):
        backend.add_adapter(where, "poet", roots / "cook")
    backend.drop_adapter(where, "poet")
    assert [model.id for model in served.openai.models.list()] == ["m", "cook"]
    with pytest.raises(openai.NotFoundError):
        served.text("poet")
    backend.add_adapter(where, "poet", roots / "cook")  # the name again, other weights: nothing of the old ones is left
    assert served.text("poet", max_tokens=30) == cook
    for name in ("poet", "cook"):
        backend.drop_adapter(where, name)
    assert served.text(max_tokens=30) == base
    with pytest.raises(UsageError, check=coded("SERVE-087"), match="no adapter 'poet'"):
        backend.drop_adapter(where, "poet")


def test_what_is_no_adapter_is_refused(served: Running, roots: Path):
    (roots / "empty").mkdir(exist_ok=True)
    answer = httpx2.post(served.url + "/load_lora_adapter", json={"lora_name": "x", "lora_path": "empty"}, timeout=300)
    assert answer.status_code == 400
    assert [model.id for model in served.openai.models.list()] == ["m"]


def test_a_server_without_adapter_folders_takes_none():
    with pytest.raises(UsageError, check=coded("MODEL-005")):
        TransformersBackend().add_adapter(Served("http://127.0.0.1:1/v1", ("m",)), "x", Path("x"))


# -- clients that hang up ------------------------------------------------------------------------------------------------


def hang_up(running: Running) -> None:
    requests: dict[str, Any] = {
        "/v1/chat/completions": {"model": "m", "messages": ASK, "max_tokens": 30, "n": 2},
        "/v1/completions#stream": {"model": "m", "prompt": "a b", "max_tokens": 30, "stream": True, "echo": True, "logprobs": 1},
        "/v1/embeddings": {"model": "m", "input": ["a b c " * 30] * 6},
        "/tokenize": {"messages": ASK},
        "/v1/load_lora_adapter": {"lora_name": "poet", "lora_path": "poet"},
        "/health": None,
    }
    client = DisconnectingClient(running.socket.getsockname(), requests)
    for _ in client.each():
        pass
    until(lambda: not running.server.server_state.connections)
    del requests["/v1/load_lora_adapter"]  # it may have been loaded or not: the client that asked has not heard
    assert {path: client.status(path) for path in requests} == dict.fromkeys(requests, 200)
    httpx2.post(running.url + "/unload_lora_adapter", json={"lora_name": "poet"}, timeout=60)
    until(lambda: "swift_requests_in_flight 0.0" in httpx2.get(running.url.removesuffix("/v1") + "/metrics").text)
    assert running.engine.fault is None


def test_clients_that_hang_up_harm_nobody(served: Running):
    hang_up(served)
    assert isinstance(served.engine.worker, Batcher)
    assert served.engine.worker.prefix_cache.in_use == 0


# -- limits --------------------------------------------------------------------------------------------------------------


def test_a_request_that_takes_too_long_ends_and_frees_its_room(long_model: Path):
    with Running(long_model, limits=Limits(timeout=0.3)) as running:
        with pytest.raises(openai.InternalServerError, match=r"of 0.3 seconds"):
            running.text(max_tokens=20_000, temperature=0)
        until(lambda: running.engine.worker.prefix_cache.in_use == 0)  # type: ignore[union-attr]

        def answers() -> str:
            with suppress(openai.InternalServerError):  # a busy machine may need longer than that even for two tokens
                return running.text(max_tokens=2)
            return ""

        until(answers)


# -- models that can't be batched ----------------------------------------------------------------------------------------


def test_a_model_that_rows_cannot_do_is_answered_one_by_one(tiny_model: Path, roots: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any):
    def never(model: Any) -> float:
        raise VarlenUnsupported("softcap")

    with Running(tiny_model) as batched:
        expected = batched.text(max_tokens=30), batched.openai.embeddings.create(model="m", input="a b").data[0].embedding
        scored = batched.openai.completions.create(model="m", prompt="a b c", echo=True, logprobs=2, max_tokens=1, temperature=0)
    monkeypatch.setattr("swift_plugin_transformers.engine.probe", never)
    caplog.set_level(logging.WARNING)
    with Running(tiny_model, [roots]) as running:
        assert isinstance(running.engine.worker, SequentialWorker)
        assert "continuous batching is off" in caplog.text
        assert running.text(max_tokens=30) == expected[0]
        assert running.openai.embeddings.create(model="m", input="a b").data[0].embedding == pytest.approx(expected[1], abs=1e-4)
        again = running.openai.completions.create(model="m", prompt="a b c", echo=True, logprobs=2, max_tokens=1, temperature=0)
        assert scored.choices[0].logprobs
        assert again.choices[0].logprobs
        assert again.choices[0].logprobs.tokens == scored.choices[0].logprobs.tokens
        assert again.choices[0].logprobs.token_logprobs[1:] == pytest.approx(scored.choices[0].logprobs.token_logprobs[1:], abs=1e-4)  # type: ignore[index]
        jsonschema.validate(json.loads(running.text(response_format=FORMAT, max_tokens=100)), SCHEMA)
        httpx2.post(running.url + "/load_lora_adapter", json={"lora_name": "poet", "lora_path": "poet"}, timeout=60).raise_for_status()
        assert running.text("poet", max_tokens=30) != expected[0]
        assert len(running.openai.chat.completions.create(model="m", messages=ASK, n=3, max_tokens=4).choices) == 3
        httpx2.post(running.url + "/unload_lora_adapter", json={"lora_name": "poet"}, timeout=60).raise_for_status()
        hang_up(running)
