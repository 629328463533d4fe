"""Preference rows with pictures: both answers of a pair see the picture, and the loss is the equation on the processor's own tensors."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from swift_testing.tiny_vlm import write_tiny_vlm
from swift_train.testing import run_training, training_run, write_rows
from torch.nn.functional import logsigmoid
from transformers import AutoModelForImageTextToText, AutoProcessor

COLOURS = ("red", "blue", "green", "white")
SETTINGS = {"max_steps": 2, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant", "batch_size": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pictures")
    write_tiny_vlm(made / "model")
    for colour in COLOURS:
        Image.new("RGB", (16, 16), colour).save(made / f"{colour}.png")
    return made


def log_probability(model, processor, colour, answer):
    """Of the answer's tokens with its end, by the model's own processor."""
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What colour?"}]}]
    prompt = processor.apply_chat_template(asked, add_generation_prompt=True)
    with Image.open(f"{colour}.png") as picture:
        inputs = processor(text=[prompt + answer + "<|im_end|>"], images=[[picture]], return_tensors="pt")
        ahead = processor(text=[prompt], images=[[picture]], return_tensors="pt")["input_ids"].shape[1]
    logits = model(**inputs).logits[0, ahead - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, inputs["input_ids"][0, ahead:, None]).sum()


def test_dpo_is_its_equation(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    rows = [
        {"prompt": "<image>What colour?", "chosen": f"{own}.", "rejected": f"{other}!", "images": [f"{own}.png"]}
        for own, other in zip(COLOURS, COLOURS[1:] + COLOURS[:1], strict=True)
    ]
    run = training_run(folder / "model", write_rows(folder / "rows.jsonl", rows), task="dpo", tuner="full", beta=0.2, **SETTINGS)
    ours = [line["loss"] for line in run_training(run, tmp_path / "run") if "loss" in line]
    processor = AutoProcessor.from_pretrained(folder / "model")
    model, reference = (AutoModelForImageTextToText.from_pretrained(folder / "model", dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    expected = []
    for step in range(2):
        losses = []
        for colour, row in list(zip(COLOURS, rows, strict=True))[2 * step : 2 * step + 2]:
            ratios = []
            for name in ("chosen", "rejected"):
                with torch.no_grad():
                    base = log_probability(reference, processor, colour, row[name])
                ratios.append(log_probability(model, processor, colour, row[name]) - base)
            losses.append(-logsigmoid(0.2 * (ratios[0] - ratios[1])))
        loss = torch.stack(losses).mean()
        loss.backward()
        expected.append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad()
    assert expected[1] != pytest.approx(expected[0], abs=1e-3)
    assert ours == pytest.approx(expected, abs=2e-5)


def test_kto_of_answers_about_pictures(folder, tmp_path):
    rows = [
        {"prompt": "<image>What colour?", "completion": f"{colour}.", "label": number % 2 == 0, "images": [f"{colour}.png"]}
        for number, colour in enumerate(COLOURS)
    ]
    path = write_rows(folder / "kto.jsonl", rows)
    metrics = run_training(training_run(folder / "model", path, task="kto", **SETTINGS), tmp_path / "run")
    found = [line for line in metrics if "loss" in line]
    assert found[0]["loss"] == pytest.approx(0.5, abs=1e-4)  # the model is its own reference
    assert found[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert found[0]["grad_norm"] > 0
