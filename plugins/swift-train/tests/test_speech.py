"""Speech-to-text encoder-decoders: trained with the loss that transformers computes of labels, and rows that they can't read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from swift_testing.media_files import write_tone
from swift_testing.speech_models import write_speech_model
from swift_train.media.audio import load_audio
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

from swift_core.contract import SwiftError

TONES = {"low": (200, 0.5), "middle": (800, 1.0), "high": (3000, 1.5)}
SETTINGS = {"batch_size": 3, "max_steps": 2, "learning_rate": 1e-2, "shuffle": False, "max_grad_norm": 0.0}


@pytest.fixture(scope="module", params=["whisper", "moonshine"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("speech")
    write_speech_model(made / "model", request.param)
    for name, (hertz, seconds) in TONES.items():
        write_tone(made / f"{name}.wav", hertz, seconds, rate=8000, channels=2)
    return made


def row(*names: str, answer: str = "It is low.", asked: str = "<audio>") -> dict[str, Any]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **({"audios": [f"{name}.wav" for name in names]} if names else {})}


def labels_loss(folder: Path, answers: dict[str, str]) -> float:
    """The mean over the tokens of all transcripts, each row by itself, as transformers computes it of labels."""
    model: Any = AutoModelForSpeechSeq2Seq.from_pretrained(folder / "model", dtype=torch.float32)
    processor: Any = AutoProcessor.from_pretrained(folder / "model")
    total = count = 0.0
    for name, answer in answers.items():
        inputs = processor.feature_extractor(load_audio(str(folder / f"{name}.wav"), 16000), sampling_rate=16000, return_tensors="pt")
        ids = processor.tokenizer(text_target=answer)["input_ids"]
        ids = ids[1:] if ids[0] == model.config.decoder_start_token_id else [*ids, processor.tokenizer.eos_token_id]
        with torch.no_grad():
            total += float(model(**inputs, labels=torch.tensor([ids])).loss) * len(ids)
        count += len(ids)
    return total / count


def test_the_loss_is_the_one_of_labels(folder, tmp_path):
    answers = {"low": "It is low.", "middle": "A tone in the middle, I say.", "high": "high"}
    rows = write_rows(folder / "rows.jsonl", [row(name, answer=answer) for name, answer in answers.items()])
    metrics = run_training(training_run(folder / "model", rows, **SETTINGS), tmp_path / "run")
    losses = [line["loss"] for line in metrics if "loss" in line]
    assert losses[0] == pytest.approx(labels_loss(folder, answers), rel=1e-5)
    assert losses[1] < losses[0]
    with safe_open(tmp_path / "run" / "output" / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
    assert {True, False} == {".encoder." in name for name in names}  # both halves are adapted
    assert AutoProcessor.from_pretrained(tmp_path / "run" / "output").feature_extractor.sampling_rate == 16000


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({}, {"truncation": "right", "max_length": 4}, "truncation"),
        ({}, {"system": "Listen."}, "system"),
        ({"names": ()}, {}, "0 audio files"),
        ({"names": ("low", "high"), "asked": "<audio><audio>"}, {}, "2 audio files"),
        ({"asked": "<audio>Write it down."}, {}, "Write it down"),
    ],
)
def test_what_it_can_not_read_is_refused(folder, tmp_path, data, options, message):
    names = data.get("names", ("low",))
    rows = write_rows(folder / "bad.jsonl", [row(*names, asked=data.get("asked", "<audio>" if names else "Hello"))])
    with pytest.raises(SwiftError, match=message):
        run_training(training_run(folder / "model", rows, **SETTINGS, **options), tmp_path / "run")


def test_a_recording_of_which_the_end_would_be_dropped(folder, tmp_path):
    write_tone(folder / "long.wav", 200, 5.0)
    rows = write_rows(folder / "long.jsonl", [row("long")])
    run = training_run(folder / "model", rows, **SETTINGS)
    if AutoProcessor.from_pretrained(folder / "model").feature_extractor.__class__.__name__.startswith("Whisper"):
        with pytest.raises(SwiftError, match=r"5\.0 seconds"):
            run_training(run, tmp_path / "run")
    else:
        assert run_training(run, tmp_path / "run")
