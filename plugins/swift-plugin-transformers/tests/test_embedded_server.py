"""The embedded server as a real process: started by its backend's command, asked, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from swift_http.testing import until
from swift_plugin_transformers.backend import TransformersBackend
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import main
from swift_serve.client import Client, Refused, wait_ready
from swift_serve.roles import Serving

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server
from swift_core.runs.local_launcher import free_port

pytestmark = pytest.mark.slow

KEY = "sk-test"
ASK = [{"role": "user", "content": "What is the capital of France?"}]


def start(
    checkpoint: Path, port: int, *, adapters: Mapping[str, Path] | None = None, key: str | None = KEY, **options: Any
) -> subprocess.Popen[str]:
    backend = TransformersBackend(ServeOptions(device="cpu", **options))
    command = backend.command(
        Serving(checkpoint=checkpoint, adapters=adapters or {}, port=port, name="tiny", api_key=key, python=sys.executable)
    )
    assert key is None or not any(key in argument for argument in command.argv)
    return subprocess.Popen(command.argv, env={**os.environ, **command.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def serving(checkpoint: Path, **more: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    process = start(checkpoint, port, **more)
    try:
        if not wait_ready(f"http://127.0.0.1:{port}/health", alive=lambda: process.poll() is None, timeout=300):
            process.kill()
            pytest.fail(process.communicate()[1])
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        process.terminate()
        process.wait(300)


@pytest.fixture(scope="module")
def adapter(long_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that plainly changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(long_model), LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(long_model: Path, adapter: Path) -> Iterator[str]:
    with serving(long_model, adapters={"poet.v1": adapter}, queue=4) as (url, _):
        yield url


def client_of(url: str, key: str | None = KEY) -> Client:
    return Client(Server(url, ("tiny",), key))


def greedy(url: str, model: str = "tiny", **more: Any) -> str:
    return client_of(url).complete(ASK, model=model, **{"temperature": 0, "max_tokens": 12, **more})


def test_stream_is_the_whole_in_pieces_and_what_transformers_says(served: str, tiny_model: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pieces = list(client_of(served).chat(ASK, temperature=0, max_tokens=12))
    assert len(pieces) > 1
    assert "".join(pieces) == greedy(served)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = tokenizer.apply_chat_template(ASK, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    out = AutoModelForCausalLM.from_pretrained(tiny_model).generate(ids, max_new_tokens=12, do_sample=False)
    assert tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True) == "".join(pieces)


def test_adapters_act_by_name_and_leave_the_base_alone(served: str):
    assert client_of(served).models() == ["tiny", "poet.v1"]
    base, adapted = greedy(served), greedy(served, "poet.v1")
    assert base != adapted
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = greedy(served, ("tiny", "poet.v1")[number % 2])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]  # more than the queue takes: the client asks again
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[number] for number in range(8)] == [base, adapted] * 4


def test_seeds_and_sampling(served: str):
    first, again, other = (greedy(served, temperature=1.5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({greedy(served, temperature=1.5) for _ in range(3)}) > 1
    assert greedy(served, temperature=1.5, top_k=1) == greedy(served)


def test_logprobs_of_prompt_and_answer(served: str, tiny_model: Path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(tiny_model).encode("The capital of France is Paris.")
    asked = openai.OpenAI(base_url=served, api_key=KEY)
    choice = asked.completions.create(model="tiny", prompt=[ids], echo=True, logprobs=1, max_tokens=1, temperature=0).choices[0]
    with torch.inference_mode():
        expected = AutoModelForCausalLM.from_pretrained(tiny_model)(torch.tensor([ids])).logits[0].log_softmax(-1)
    assert choice.logprobs is not None
    got = choice.logprobs.token_logprobs or []
    assert got[0] is None
    assert got[1:-1] == pytest.approx([float(expected[at, token]) for at, token in enumerate(ids[1:])], abs=1e-4)
    assert got[-1] == pytest.approx(float(expected[-1].max()), abs=1e-4)


def test_refusals(served: str):
    with pytest.raises(UsageError, match="rejects the API key"):
        client_of(served, "wrong").models()
    with pytest.raises(UsageError, match="Served: tiny, poet"):
        greedy(served, "tony")
    with pytest.raises(UsageError, match="token id 99999"):
        openai_error(served, prompt=[99999])


def test_tools_that_the_template_would_leave_out_are_refused(served: str):
    tool = {"type": "function", "function": {"name": "weather"}}
    with pytest.raises(UsageError, match="does not support tools"):
        greedy(served, tools=[tool])
    with pytest.raises(Refused, match="does not support tools"):
        client_of(served).tokenize(ASK, tools=[tool])


def openai_error(url: str, **request: Any) -> None:
    try:
        openai.OpenAI(base_url=url, api_key=KEY).completions.create(model="tiny", **request)
    except openai.BadRequestError as error:
        raise UsageError(str(error)) from error


def test_a_long_answer_is_cancelled_for_the_next(served: str):
    def metric(name: str) -> float:
        text = httpx2.get(served.removesuffix("/v1") + "/metrics", headers={"Authorization": f"Bearer {KEY}"}, timeout=300).text
        return float(next((line.split()[-1] for line in text.splitlines() if line.startswith(name)), 0))

    written = 'swift_tokens_total{kind="completion",model="tiny"}'
    before = metric(written)
    stream = client_of(served).chat(ASK, temperature=0, max_tokens=20_000)
    next(stream)
    assert metric("swift_requests_in_flight") == 1
    stream.close()
    until(lambda: metric("swift_requests_in_flight") == 0)
    assert metric(written) - before < 20_000
    assert greedy(served, max_tokens=1)


def test_stop_in_mid_answer_frees_the_port_and_leaves_no_process(tiny_model: Path):
    with serving(tiny_model, key=None) as (url, process):
        stream = client_of(url, None).chat(ASK, temperature=1.5, max_tokens=400)
        next(stream)
        process.send_signal(signal.SIGTERM)
        process.wait(300)
    assert process.returncode == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(url.split(":")[2].split("/")[0])))


@pytest.mark.parametrize("fault", ["missing", "truncated", "adapter", "options", "port"])
def test_what_cannot_start_says_why_in_one_line(tiny_model: Path, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]):
    checkpoint = tmp_path / "model"
    if fault != "missing":
        shutil.copytree(tiny_model, checkpoint)
    if fault == "truncated":
        weights = checkpoint / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    arguments = [str(checkpoint), "--name", "tiny", "--port", "0"]
    arguments += ["--adapter", f"a={tmp_path / 'nowhere'}"] if fault == "adapter" else []
    arguments += ["--options", '{"devise": "cpu"}'] if fault == "options" else []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments += ["--port", str(taken.getsockname()[1])] if fault == "port" else []
        assert main(arguments) == 2
    said = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert said["event"] == "error"
    assert said["message"]
    assert said["hint"] or fault == "options"


def test_a_character_over_several_tokens_comes_whole(tiny_model: Path):
    from swift_plugin_transformers.detokenizer import Detokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    text = "Grüße an 世界 🙂!"
    ids = tokenizer.encode(text)
    assert len(ids) > len(text)
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token) for token in ids]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    broken = Detokenizer(tokenizer)
    assert broken.push(tokenizer.encode("🙂")[0]) == ""
    assert broken.flush() == "\ufffd"


@pytest.mark.model
def test_the_real_model_knows_paris(smollm2: Path):
    with serving(smollm2) as (url, _):
        asked = openai.OpenAI(base_url=url, api_key=KEY)
        whole = asked.chat.completions.create(model="tiny", messages=ASK, temperature=0, max_tokens=20)
        assert "Paris" in (whole.choices[0].message.content or "")
        assert whole.choices[0].finish_reason == "stop"
        chunks = list(asked.chat.completions.create(model="tiny", messages=ASK, temperature=0, max_tokens=20, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
        assert chunks[-1].choices[0].finish_reason == "stop"
