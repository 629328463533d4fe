"""A speech-to-text model behind OpenAI's routes for audio: the transcript that transformers' own generate gives, and what is refused."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx2
import pytest
import torch
from swift_http.testing import KEY, Served
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_testing.media_files import write_tone
from swift_testing.speech_models import write_speech_model
from swift_train.media.audio import load_audio
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor


@pytest.fixture(scope="module", params=["whisper", "moonshine"])
def folder(request, tmp_path_factory):
    made = tmp_path_factory.mktemp("speech")
    write_speech_model(made / "model", request.param, seed=3)
    write_tone(made / "low.wav", 200, 0.5)
    write_tone(made / "high.wav", 3000, 1.5, rate=8000)
    return made


@pytest.fixture(scope="module")
def served(folder):
    engine = load(folder / "model", {}, "m", ServeOptions(device="cpu", dtype="float32", max_new_tokens=12))
    with Served(engine=engine) as server:
        yield server
    engine.close()


def form(served, file: Path | bytes, route: str = "transcriptions", **fields: str) -> httpx2.Response:
    content = file if isinstance(file, bytes) else file.read_bytes()
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{served.url.removesuffix('/v1')}/v1/audio/{route}"
    return httpx2.post(url, files={"file": ("a.wav", content, "audio/wav")}, data={"model": "m", **fields}, headers=headers, timeout=60)


def expected(folder: Path, name: str) -> str:
    model = AutoModelForSpeechSeq2Seq.from_pretrained(folder / "model", dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder / "model")
    inputs = processor.feature_extractor(load_audio(str(folder / name), 16000), sampling_rate=16000, return_tensors="pt")
    start = processor.tokenizer(text_target="")["input_ids"][:-1] or [model.config.decoder_start_token_id]
    made = model.generate(**inputs, decoder_input_ids=torch.tensor([start]), max_new_tokens=12, do_sample=False)
    return processor.tokenizer.decode(made[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize("name", ["low.wav", "high.wav"])
def test_a_transcript(served, folder, name):
    found = form(served, folder / name)
    assert found.status_code == 200, found.text
    assert found.json()["text"] == expected(folder, name) != ""
    assert form(served, folder / name, response_format="text").text == found.json()["text"]
    audio = {"data": base64.b64encode((folder / name).read_bytes()).decode(), "format": "wav"}
    messages = [{"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}]
    body = {"model": "m", "messages": messages, "temperature": 0.0}
    assert served.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"].strip() == found.json()["text"]
    spoken = [*messages, {"role": "user", "content": "In German."}]
    assert "In German." in served.post("/v1/chat/completions", {**body, "messages": spoken}).json()["error"]["message"]


def test_what_is_refused(served, folder):
    refused = [
        (form(served, b""), "empty"),
        (form(served, b"RIFF not a sound"), "decoded"),
        (form(served, folder / "low.wav", model="other"), "not served"),
        (form(served, folder / "low.wav", language="klingon"), "language"),
        (form(served, folder / "low.wav", response_format="srt"), "response_format"),
        (form(served, folder / "low.wav", timestamps="word"), "timestamps"),
        (served.post("/v1/completions", {"model": "m", "prompt": "hi"}), "recordings"),
    ]
    for found, said in refused:
        assert found.status_code in (400, 404), found.text
        assert said in found.text


def test_languages_and_translations(served, folder):
    known = "Whisper" in AutoProcessor.from_pretrained(folder / "model").__class__.__name__
    found = [form(served, folder / "low.wav", language="en"), form(served, folder / "low.wav", "translations")]
    assert [each.status_code for each in found] == [200 if known else 400] * 2
    assert form(served, folder / "low.wav").json()["text"] == expected(folder, "low.wav")  # and later requests are as before
