"""Families of vision-language models, small and random, each with its real processor: trained, saved, loaded again.

Those whose processors need torchvision are in the lane `media`, which installs it into a folder of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_testing.audio_models import AUDIO
from swift_testing.media_families import MEDIA
from swift_testing.vision_families import MORE_VISION
from swift_testing.vision_models import VISION, write_media_model
from swift_train.media.micro import in_dtype
from swift_train.media.processor import MediaProcessor
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForMultimodalLM, AutoProcessor

COLOURS = {"red": (64, 48), "blue": (90, 60), "green": (64, 48), "yellow": (40, 110)}
FAMILIES = {**VISION, **MORE_VISION, **MEDIA, "qwen3_omni_moe_thinker": AUDIO["qwen3_omni_moe_thinker"]}
ALONE = {  # rows of one pass would affect each other
    "gemma3",  # the tokens of an image attend to each other across the mask that separates rows
    "qwen3_5",  # linear attention
    "minicpmv4_6",
}
START = (
    "import runpy, sys; from swift_testing.torchvision_beside_cpu import declare_operators; declare_operators(); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
LIGHT = [name for name, kind in FAMILIES.items() if not kind.needs]


def train_and_load(folder: Path, name: str) -> None:
    model = write_media_model(folder / "model", name, FAMILIES[name])
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
    if name.startswith("qwen") and name in VISION:
        limited = training_run(model, file, tuner="full", max_steps=1, batch_size=5, media={"max_pixels": 56 * 56})
        run_training(limited, folder / "limited")
        size = dict(AutoProcessor.from_pretrained(folder / "limited" / "output").image_processor.size)
        assert size["longest_edge"] == 56 * 56
        tokens = [json.loads(line)["tokens"] for line in (folder / "limited" / "metrics.jsonl").read_text().splitlines()]
        assert tokens[0] < json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0])["tokens"]


def _check_output(output: Path, folder: Path) -> None:
    """The output answers other images with other logits, through its own processor, and the embedded server with the same."""
    processor, model = AutoProcessor.from_pretrained(output), AutoModelForMultimodalLM.from_pretrained(output).eval()
    own = MediaProcessor(processor)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]
    text = processor.tokenizer.apply_chat_template(asked, tokenize=False)
    inputs: list[dict[str, Any]] = [own.encode(text, [own.load("image", str(folder / f"{colour}.png"))]) for colour in ("red", "green")]
    with torch.no_grad():
        red, green = (
            model(**{name: in_dtype(value, model.dtype) for name, value in each.items()}).logits[0].log_softmax(-1) for each in inputs
        )
    assert (red[-1] - green[-1]).abs().max() > 1e-3
    url = f"data:image/png;base64,{base64.b64encode((folder / 'red.png').read_bytes()).decode()}"
    engine = load(output, {}, "m", ServeOptions(device="cpu", dtype="float32"))
    try:
        parts = [{"type": "image", "image": url}, {"type": "text", "text": "?"}]
        prompt = engine.render([{"role": "user", "content": parts}], generation_prompt=False)
        served = asyncio.run(engine.score(prompt, model="m", top=0))
    finally:
        engine.close()
    ids = inputs[0]["input_ids"][0]
    assert list(prompt) == ids.tolist()
    expected = red[:-1].gather(1, ids[1:, None]).squeeze(1).tolist()
    assert [token.logprob for token in served[1:]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", LIGHT)
def test_a_family_is_trained_on_pictures(tmp_path, name):
    train_and_load(tmp_path, name)


@pytest.mark.full("media")
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in LIGHT])
def test_a_family_whose_processor_needs_torchvision(media_packages, tmp_path, name):
    """In a process of its own: transformers decides once what there is."""
    variables = {**os.environ, "PYTHONPATH": str(media_packages)}
    done = subprocess.run(
        [sys.executable, "-c", START, __file__, str(tmp_path), name], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


if __name__ == "__main__":
    train_and_load(Path(sys.argv[1]), sys.argv[2])
