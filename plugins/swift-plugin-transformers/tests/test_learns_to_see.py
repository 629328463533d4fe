"""Proof that training on images teaches to see: a random model names the colours and shapes of images that it has not seen."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from swift_http import Sampling
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_testing.tiny_vlm import write_tiny_vlm
from swift_train.testing import run_training, training_run, write_rows

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 50), "blue": (40, 60, 220), "yellow": (230, 210, 40)}
SHAPES = ("circle", "square", "triangle")
SIZE, TRAINED, HELD_OUT = 24, 480, 48
QUESTION = "What?"


def drawn(count: int, seed: int) -> Iterator[tuple[Image.Image, str, str]]:
    """Yield pictures of a shape on a light ground, each with its colour and shape, as many of each."""
    random = np.random.default_rng(seed)
    for number in range(count):
        colour, shape = list(COLOURS)[number % 4], SHAPES[number // 4 % 3]
        width = int(random.integers(11, 19))
        x, y = (int(random.integers(1, SIZE - width - 1)) for _ in range(2))
        picture = Image.new("RGB", (SIZE, SIZE), (int(random.integers(200, 256)),) * 3)
        fill = tuple(int(value) for value in np.clip(np.array(COLOURS[colour]) + random.integers(-20, 20, 3), 0, 255))
        draw = ImageDraw.Draw(picture)
        if shape == "circle":
            draw.ellipse((x, y, x + width, y + width), fill=fill)
        elif shape == "square":
            draw.rectangle((x, y, x + width, y + width), fill=fill)
        else:
            draw.polygon([(x + width // 2, y), (x, y + width), (x + width, y + width)], fill=fill)
        yield picture, colour, shape


def answer(engine: EmbeddedEngine, picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    prompt = engine.render([{"role": "user", "content": [{"type": "image", "image": url}, {"type": "text", "text": QUESTION}]}])

    async def said() -> str:
        sampling = Sampling(max_tokens=16, temperature=0.0)
        return "".join([piece.text async for piece in engine.generate(prompt, sampling, model="m")])

    return asyncio.run(said())


def accuracy(checkpoint: Path, *, black: bool = False) -> tuple[float, float]:
    """Return the shares of held-out pictures whose colour and whose shape the served model names."""
    engine = load(checkpoint, {}, "m", ServeOptions(device="cpu", dtype="float32"))
    try:
        asked = [(Image.new("RGB", (SIZE, SIZE)) if black else picture, *truth) for picture, *truth in drawn(HELD_OUT, 1)]
        answers = [(answer(engine, picture).split(), colour, shape) for picture, colour, shape in asked]
    finally:
        engine.close()
    return (
        sum(words[:1] == [colour] for words, colour, _ in answers) / HELD_OUT,
        sum(words[1:2] == [shape] for words, _, shape in answers) / HELD_OUT,
    )


@pytest.mark.full("media")
def test_a_random_model_learns_colours_and_shapes(tmp_path: Path) -> None:
    model = write_tiny_vlm(tmp_path / "model", image_size=SIZE)
    rows = []
    for number, (picture, colour, shape) in enumerate(drawn(TRAINED, 0)):
        picture.save(tmp_path / f"{number}.png")
        messages = [{"role": "user", "content": f"<image>{QUESTION}"}, {"role": "assistant", "content": f"{colour} {shape}"}]
        rows.append({"messages": messages, "images": [f"{number}.png"]})
    file = write_rows(tmp_path / "rows.jsonl", rows)
    run = training_run(model, file, tuner="full", max_steps=300, batch_size=32, learning_rate=2e-3, warmup_steps=20)
    run_training(run, tmp_path / "run")
    before, after = accuracy(model), accuracy(tmp_path / "run" / "output")
    unseen = accuracy(tmp_path / "run" / "output", black=True)
    (tmp_path / "accuracy.json").write_text(json.dumps({"before": before, "after": after, "black": unseen}))
    assert before[0] <= 0.3
    assert after[0] >= 0.95
    assert after[1] >= 0.45  # a guess is right in a third
    assert unseen[0] <= 0.3  # one answer for all: a quarter of them is right
    assert unseen[1] <= 0.4
