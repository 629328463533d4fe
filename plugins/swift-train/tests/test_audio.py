"""Rows with audio: the processor's own tokens and features, trained together as alone, and what a processor would drop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_testing.audio_models import write_audio_model
from swift_testing.media_files import write_tone
from swift_train.batches import collate
from swift_train.media.collate import MediaCollator
from swift_train.media.processor import MediaProcessor
from swift_train.options import SftOptions
from swift_train.row_groups import RowGroup
from swift_train.samples import Samples
from swift_train.tasks import SftTask
from swift_train.testing import run_training, training_run, write_rows
from swift_train.testing_media import media_samples
from transformers import AutoModelForMultimodalLM, AutoProcessor

from swift_core.contract import SwiftError

TONES = {"low": (200, 0.5), "middle": (800, 1.0), "high": (3000, 1.5)}
ASKED = "<audio>Which tone?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tones")
    write_audio_model(made / "model", "qwen2_audio")
    for name, (hertz, seconds) in TONES.items():
        write_tone(made / f"{name}.wav", hertz, seconds, rate=8000, channels=2)
    return made


def row(*names: str, answer: str = "low", asked: str = ASKED) -> dict[str, Any]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **({"audios": [f"{name}.wav" for name in names]} if names else {})}


def samples_of(folder: Path, store: Path, *rows: dict[str, Any]) -> tuple[Samples, MediaProcessor]:
    return media_samples(AutoProcessor.from_pretrained(folder / "model"), folder, store, *rows)


def test_the_tokens_are_the_processors_own(folder, tmp_path):
    samples, own = samples_of(folder, tmp_path / "store", row("low", "high", asked="<audio> or <audio>?"))
    contents = [own.load("audio", str(folder / f"{name}.wav")) for name in ("low", "high")]
    parts = [{"type": "audio"}, {"type": "text", "text": " or "}, {"type": "audio"}, {"type": "text", "text": "?"}]
    text = own.processor.apply_chat_template([{"role": "user", "content": parts}, {"role": "assistant", "content": "low"}])
    expected = own.processor(text=[text], audio=[content.value for content in contents], sampling_rate=16000, return_tensors="pt")
    assert samples[0].ids.tolist() == expected["input_ids"][0].tolist()
    assert samples[0].media[0].size == (8000,)
    model = AutoModelForMultimodalLM.from_pretrained(folder / "model")
    media = MediaCollator(own, model)(samples.sequences(0))
    assert media is not None
    assert torch.equal(media.arguments["input_features"], expected["input_features"])
    task = SftTask(SftOptions())
    labels = torch.where(torch.from_numpy(samples[0].supervised), expected["input_ids"], -100)
    with torch.no_grad():
        micro = collate(samples, RowGroup((0,), 1.0), media=MediaCollator(own, model))
        ours = task.loss(task.forward(model.eval(), micro), micro)
        theirs = model(**expected, labels=labels).loss
    assert isinstance(ours, torch.Tensor)
    assert float(ours) / len(micro.labels) == pytest.approx(float(theirs), abs=1e-5)


def test_a_model_learns_tones_and_is_saved_with_its_processor(folder, tmp_path):
    file = write_rows(folder / "rows.jsonl", [row(name, answer=name) for name in TONES] + [row(asked="Hi", answer="Hello")])
    options = {"learning_rate": 3e-3, "schedule": "constant"}
    losses = [
        step["loss"]
        for step in run_training(
            training_run(folder / "model", file, tuner="full", max_steps=10, batch_size=4, **options), tmp_path / "run"
        )
    ]
    assert losses[-1] < losses[0] / 3
    rows = json.loads((tmp_path / "run" / "parallel.json").read_text())["rows"]
    assert rows["together"]
    assert rows["figures"]["media_effect"] > rows["figures"]["media_tolerance"]
    assert type(AutoProcessor.from_pretrained(tmp_path / "run" / "output")).__name__ == "Qwen2AudioProcessor"
    alone = training_run(folder / "model", file, tuner="full", max_steps=2, batch_size=1, gradient_accumulation_steps=4, **options)
    assert [step["loss"] for step in run_training(alone, tmp_path / "alone")] == pytest.approx(losses[:2], rel=1e-5)


def test_adapters_leave_the_audio_encoder_as_it_is(folder, tmp_path):
    from safetensors.torch import load_file

    file = write_rows(folder / "some.jsonl", [row(name, answer=name) for name in TONES])
    run_training(training_run(folder / "model", file, max_steps=1, batch_size=3), tmp_path / "run")
    names = load_file(tmp_path / "run" / "output" / "adapter_model.safetensors")
    assert any("language_model" in name for name in names)
    assert not any("audio_tower" in name or "projector" in name for name in names)


def test_a_recording_whose_end_would_be_dropped_is_refused(folder, tmp_path):
    write_tone(folder / "long.wav", 440, 4.2)
    with pytest.raises(SwiftError, match="drops its end") as caught:
        samples_of(folder, tmp_path / "store", row("low"), row("long"))
    assert caught.value.where == "rows.jsonl, row 2"
    write_tone(folder / "fits.wav", 440, 4.0)
    assert len(samples_of(folder, tmp_path / "other", row("fits"))[0]) == 1
