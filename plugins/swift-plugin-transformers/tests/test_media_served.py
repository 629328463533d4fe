"""Images in chat messages of the embedded server: read where allowed, and answered as the model's own processor and weights do."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_http import Sampling
from swift_http.testing import Served
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.media_sources import MediaPrompt
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_testing.audio_models import write_audio_model
from swift_testing.media_files import write_tone
from swift_testing.vision_models import write_vision_model
from swift_train.build import load_checkpoint
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForImageTextToText, AutoProcessor

from swift_core.contract import UsageError

COLOURS = ("red", "blue", "green")


def data_url(colour: str) -> str:
    out = io.BytesIO()
    Image.new("RGB", (90, 60), colour).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def asked(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "What colour? "}, {"type": "image", "image": url}]}]


def engine_of(checkpoint: Path, adapters: dict[str, Path] | None = None, **options: Any) -> EmbeddedEngine:
    return load(checkpoint, adapters or {}, "m", ServeOptions(device="cpu", dtype="float32", **options))


@pytest.fixture(scope="module", params=["llava", "idefics3"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vision_model(tmp_path_factory.mktemp("vision") / "model", request.param)


@pytest.fixture
def engine(checkpoint: Path, tmp_path: Path) -> Iterator[EmbeddedEngine]:
    made = engine_of(checkpoint, media_folder=str(tmp_path))
    yield made
    made.close()


def scores(engine: EmbeddedEngine, url: str, model: str = "m") -> list[float]:
    """Return the log-probabilities of the prompt's tokens."""
    tokens = asyncio.run(engine.score(engine.render(asked(url)), model=model, top=0))
    return [token.logprob for token in tokens if token.logprob is not None]


def test_the_prompt_and_its_logits_are_those_of_the_models_own_processor(engine, checkpoint):
    processor, model = AutoProcessor.from_pretrained(checkpoint), AutoModelForImageTextToText.from_pretrained(checkpoint).eval()
    parts = [{"type": "text", "text": "What colour? "}, {"type": "image"}]
    text = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = processor(text=[text], images=[[Image.new("RGB", (90, 60), "red")]], return_tensors="pt")
    prompt = engine.render(asked(data_url("red")))
    assert isinstance(prompt, MediaPrompt)
    assert prompt == inputs["input_ids"][0].tolist()
    with torch.no_grad():
        logits = model(**inputs).logits[0].log_softmax(-1)
    expected = logits[:-1].gather(1, inputs["input_ids"][0, 1:, None]).squeeze(1)
    assert torch.tensor(scores(engine, data_url("red"))) == pytest.approx(expected, abs=1e-4)
    generated = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, len(prompt) :].tolist()

    async def answer() -> list[int]:
        pieces = engine.generate(prompt, Sampling(max_tokens=8, temperature=0.0), model="m")
        return [token.id async for piece in pieces for token in piece.tokens]

    assert asyncio.run(answer()) == generated


def test_another_picture_is_answered_otherwise(engine):
    red, blue = (scores(engine, data_url(colour)) for colour in ("red", "blue"))
    assert max(abs(one - other) for one, other in zip(red, blue, strict=True)) > 1e-3


def test_files_are_read_below_the_folder_alone(engine, tmp_path):
    Image.new("RGB", (90, 60), "red").save(tmp_path / "red.png")
    (tmp_path / "out.png").symlink_to("/etc/hostname")
    assert scores(engine, f"file://{tmp_path}/red.png") == scores(engine, data_url("red"))
    for path in ("/etc/hostname", f"{tmp_path}/../x.png", f"{tmp_path}/none.png", f"{tmp_path}/out.png"):
        with pytest.raises(UsageError, match="does not read"):
            engine.render(asked(f"file://{path}"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/a.png", "fetches no files from '127.0.0.1'"),
        ("https://example.com/a.png", "fetches no files from 'example.com'"),
        ("ftp://example.com/a.png", "must begin with data:"),
        ("red.png", "must begin with data:"),
        ("data:image/png,abc", "must contain base64"),
        ("data:image/png;base64,@@", "can't be decoded"),
        ("data:image/png;base64,bm8=", "can't be decoded"),
        (data_url("red")[:122], "damaged"),
    ],
)
def test_what_is_not_read(engine, url, message):
    with pytest.raises(UsageError, match=message):
        engine.render(asked(url))


def test_a_placeholder_without_a_picture_is_refused(engine):
    with pytest.raises(UsageError, match="placeholder"):
        engine.render([{"role": "user", "content": "Look: <image>"}])


def test_over_http(engine, tiny_model):
    message = {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": data_url("red")}}]}
    body = {"model": "m", "messages": [message], "max_tokens": 3}
    with Served(engine=engine) as server:
        done = server.post("/v1/chat/completions", body).json()
        counted = server.post("/tokenize", {"model": "m", "messages": [message]}).json()["count"]
        wrong = server.post("/v1/chat/completions", {**body, "messages": asked_over_http("http://127.0.0.1/a.png")})
    assert done["usage"]["prompt_tokens"] == counted > 10
    assert wrong.status_code == 400
    assert "fetches no files" in wrong.json()["error"]["message"]
    text = engine_of(tiny_model)
    try:
        with Served(engine=text) as server:
            refused = server.post("/v1/chat/completions", body)
    finally:
        text.close()
    assert refused.status_code == 400
    assert "this model accepts text only" in refused.json()["error"]["message"]


def test_audio_over_http(tmp_path):
    """As `input_audio` and as `audio_url`: the prompt is that of the model's own processor."""
    engine = engine_of(write_audio_model(tmp_path / "model", "qwen2_audio"))
    write_tone(tmp_path / "tone.wav", 440, 0.5)
    data = base64.b64encode((tmp_path / "tone.wav").read_bytes()).decode()
    own = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    try:
        text = {"type": "text", "text": "?"}
        prompt = engine.render([{"role": "user", "content": [{"type": "audio", "audio": f"data:audio/wav;base64,{data}"}, text]}])
        with Served(engine=engine) as server:
            answers = [
                server.post(
                    "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": [part, text]}], "max_tokens": 4}
                )
                for part in (own, {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}})
            ]
            refused = [
                server.post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": [part]}]})
                for part in (
                    {**own, "input_audio": {"data": "UklGRg==", "format": "wav"}},
                    {"type": "audio_url", "audio_url": {"url": "http://127.0.0.1/a.wav"}},
                    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
                )
            ]
            routes = server.get("/openapi.json").json()["paths"]
    finally:
        engine.close()
    assert [answer.json()["usage"]["prompt_tokens"] for answer in answers] == [len(prompt)] * 2
    assert answers[0].json()["choices"][0]["message"] == answers[1].json()["choices"][0]["message"]
    assert [answer.status_code for answer in refused] == [400] * 3
    assert "/v1/audio/transcriptions" not in routes


def asked_over_http(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]


def test_an_adapter_and_its_merge_answer_pictures_alike(tmp_path):
    model = write_vision_model(tmp_path / "model", "llava")
    for colour in COLOURS:
        Image.new("RGB", (90, 60), colour).save(tmp_path / f"{colour}.png")
    question = {"role": "user", "content": "<image>What colour?"}
    rows = [{"messages": [question, {"role": "assistant", "content": name}], "images": [f"{name}.png"]} for name in COLOURS]
    run = training_run(model, write_rows(tmp_path / "rows.jsonl", rows), max_steps=4, learning_rate=1e-2, batch_size=3)
    run_training(run, tmp_path / "run")
    adapter = tmp_path / "run" / "output"
    merged = load_checkpoint(model, adapters={"default": adapter}, device="cpu", dtype="float32", allow_other_base=True)
    folder = tmp_path / "merged"
    merged.model.merge_and_unload().save_pretrained(folder)  # type: ignore[operator]
    merged.processor.save_pretrained(folder)
    with_adapter, alone = engine_of(model, {"a": adapter}), engine_of(folder)
    try:
        base, adapted = (scores(with_adapter, data_url("red"), name) for name in ("m", "a"))
        after = scores(alone, data_url("red"))
    finally:
        with_adapter.close()
        alone.close()
    assert adapted == pytest.approx(after, abs=1e-3)
    assert max(abs(one - other) for one, other in zip(base, adapted, strict=True)) > 1e-2
