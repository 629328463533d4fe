"""Families of vision-language models, small and random, each with its real processor: trained, saved, loaded again.

Those whose processors need torchvision are in the lane `media`, which installs it into a folder of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_testing.vision_models import VISION, write_vision_model
from swift_train.media.processor import MediaProcessor
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForImageTextToText, AutoProcessor

COLOURS = {"red": (64, 48), "blue": (90, 60), "green": (64, 48), "yellow": (40, 110)}
ALONE = {"gemma3"}  # the tokens of an image attend to each other across the mask that separates rows
START = (
    "import runpy, sys; from swift_testing.torchvision_beside_cpu import declare_operators; declare_operators(); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
LIGHT = [name for name, kind in VISION.items() if not kind.needs]


def train_and_load(folder: Path, name: str) -> None:
    model = write_vision_model(folder / "model", name)
    for colour, size in COLOURS.items():
        Image.new("RGB", size, colour).save(folder / f"{colour}.png")
    question = {"role": "user", "content": "<image>What colour?"}
    rows = [{"messages": [question, {"role": "assistant", "content": name}], "images": [f"{name}.png"]} for name in COLOURS]
    rows.append({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]})
    file = write_rows(folder / "rows.jsonl", rows)
    run = training_run(model, file, tuner="full", max_steps=4, learning_rate=2e-3, schedule="constant", batch_size=5)
    losses = [step["loss"] for step in run_training(run, folder / "run")]
    assert losses[-1] < losses[0] - 1
    assert json.loads((folder / "run" / "parallel.json").read_text())["rows"]["together"] == (name not in ALONE)
    alone = {"max_steps": 2, "learning_rate": 2e-3, "schedule": "constant", "batch_size": 1, "gradient_accumulation_steps": 5}
    one_by_one = [step["loss"] for step in run_training(training_run(model, file, tuner="full", **alone), folder / "alone")]
    assert one_by_one == pytest.approx(losses[:2], rel=2e-5)
    _check_output(folder / "run" / "output", folder)
    if name.startswith("qwen"):
        limited = training_run(model, file, tuner="full", max_steps=1, batch_size=5, media={"max_pixels": 56 * 56})
        run_training(limited, folder / "limited")
        size = dict(AutoProcessor.from_pretrained(folder / "limited" / "output").image_processor.size)
        assert size["longest_edge"] == 56 * 56
        tokens = [json.loads(line)["tokens"] for line in (folder / "limited" / "metrics.jsonl").read_text().splitlines()]
        assert tokens[0] < json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0])["tokens"]


def _check_output(output: Path, folder: Path) -> None:
    """The output answers other images with other logits, through its own processor."""
    processor, model = AutoProcessor.from_pretrained(output), AutoModelForImageTextToText.from_pretrained(output).eval()
    own = MediaProcessor(processor)
    text = processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}])
    inputs: list[dict[str, Any]] = [own.encode(text, [own.load("image", str(folder / f"{colour}.png"))]) for colour in ("red", "green")]
    with torch.no_grad():
        red, green = (model(**each).logits[0, -1] for each in inputs)
    assert (red - green).abs().max() > 1e-3


@pytest.mark.parametrize("name", LIGHT)
def test_a_family_is_trained_on_pictures(tmp_path, name):
    train_and_load(tmp_path, name)


@pytest.mark.full("media")
@pytest.mark.parametrize("name", [name for name in VISION if name not in LIGHT])
def test_a_family_whose_processor_needs_torchvision(media_packages, tmp_path, name):
    """In a process of its own: transformers decides once what there is."""
    variables = {**os.environ, "PYTHONPATH": str(media_packages)}
    done = subprocess.run(
        [sys.executable, "-c", START, __file__, str(tmp_path), name], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


if __name__ == "__main__":
    train_and_load(Path(sys.argv[1]), sys.argv[2])
