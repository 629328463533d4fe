"""Families that take videos, small and random, each with its real processor: trained on videos, saved with their sampling, served.

Every video processor of transformers needs torchvision, which the lane `media` installs into a folder of its own.
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
from swift_http.testing import Served
from swift_testing.audio_models import AUDIO
from swift_testing.media_files import write_tone, write_video
from swift_testing.vision_models import VISION, write_media_model
from swift_train.batches import collate
from swift_train.media.collate import MediaCollator
from swift_train.media.options import MediaOptions, use_media_options
from swift_train.media.processor import MediaProcessor
from swift_train.options import SftOptions
from swift_train.row_groups import RowGroup
from swift_train.tasks import SftTask
from swift_train.testing import run_training, training_run, write_rows
from swift_train.testing_media import media_samples
from transformers import AutoModelForImageTextToText, AutoProcessor

FILMS = {"red": ((200, 40, 40), (64, 48)), "green": ((40, 180, 60), (64, 48)), "blue": ((40, 60, 220), (48, 96))}
KINDS = {**VISION, **AUDIO}
NAMES = [name for name, kind in KINDS.items() if kind.video]
EITHER = {"llava_onevision"}  # a rate and a number of frames exclude each other
ONE_KIND = {"smolvlm"}  # images and frames of videos are one argument of the model
START = (
    "import runpy, sys; from swift_testing.torchvision_beside_cpu import declare_operators; declare_operators(); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def row(name: str, *more: str) -> dict[str, Any]:
    asked = "".join(["<video>", *("<image>" for _ in more), "What colour?"])
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": name}]
    return {"messages": messages, "videos": [f"{name}.mp4"], **({"images": list(more)} if more else {})}


def check_family(folder: Path, name: str) -> None:
    model = write_media_model(folder / "model", name, KINDS[name])
    for colour, (rgb, size) in FILMS.items():
        write_video(folder / f"{colour}.mp4", [tuple(min(255, value + 3 * number) for value in rgb) for number in range(24)], size=size)
    _picture(folder / "red.png")
    rows = [*(row(colour) for colour in FILMS), row("red", *(() if name in ONE_KIND else ("red.png",)))]
    if KINDS[name].audio:
        write_tone(folder / "red.wav", 440)
        rows.append({**row("red", "red.png"), "audios": ["red.wav"]})
        rows[-1]["messages"][0]["content"] = "<video><image><audio>What colour?"
    processor = AutoProcessor.from_pretrained(model)
    sampling = {"max_frames": 6} if name in EITHER else {"fps": 2.5, "max_frames": 6}
    use_media_options(processor, MediaOptions(**sampling))
    check_loss(folder, processor, rows)
    file = write_rows(folder / "rows.jsonl", [*rows, {"messages": [{"role": "user", "content": "Hi"}, rows[0]["messages"][1]]}])
    options = {"learning_rate": 2e-3, "schedule": "constant", "media": sampling}
    run = training_run(model, file, tuner="full", max_steps=4, batch_size=5, **options)
    losses = [step["loss"] for step in run_training(run, folder / "run")]
    assert losses[-1] < losses[0] - 1, losses
    assert json.loads((folder / "run" / "parallel.json").read_text())["rows"]["together"]
    alone = training_run(model, file, tuner="full", max_steps=2, batch_size=1, gradient_accumulation_steps=5, **options)
    assert [step["loss"] for step in run_training(alone, folder / "alone")] == pytest.approx(losses[:2], rel=2e-5)
    check_output(folder / "run" / "output", folder)


def check_loss(folder: Path, processor: Any, rows: list[dict[str, Any]]) -> None:
    """The loss of each row is the model's own on what its own processor makes of the row, positions included."""
    model: Any = AutoModelForImageTextToText.from_pretrained(folder / "model").eval()
    samples, own, task = *media_samples(processor, folder, folder / "store", *rows), SftTask(SftOptions())
    for number, data in enumerate(rows):
        contents = [own.load(kind, str(folder / file)) for kind in ("video", "image", "audio") for file in data.get(f"{kind}s", ())]
        parts = [*({"type": content.kind} for content in contents), {"type": "text", "text": "What colour?"}]
        text = processor.tokenizer.apply_chat_template([{"role": "user", "content": parts}, data["messages"][1]], tokenize=False)
        expected = own.encode(text, contents)
        assert samples[number].ids.tolist() == expected["input_ids"][0].tolist()
        labels = torch.where(torch.from_numpy(samples[number].supervised), expected["input_ids"], -100)
        with torch.no_grad():
            for group in (RowGroup((number,), 1.0), RowGroup((number, number), 0.5)):
                micro = collate(samples, group, media=MediaCollator(own, model))
                loss = task.loss(task.forward(model, micro), micro)
                assert isinstance(loss, torch.Tensor)
                theirs = model(**expected, labels=labels, use_cache=False).loss
                assert float(loss) / int((labels >= 0).sum()) == pytest.approx(float(theirs), abs=2e-5)


def check_output(output: Path, folder: Path) -> None:
    """The output samples videos as the training did, and the embedded server answers other videos otherwise."""
    from swift_plugin_transformers.serve_options import ServeOptions
    from swift_plugin_transformers.serving import load

    assert len(MediaProcessor(AutoProcessor.from_pretrained(output)).load("video", str(folder / "red.mp4")).value.numbers) <= 6
    engine = load(output, {}, "m", ServeOptions(device="cpu", dtype="float32", media_folder=str(folder)))
    found = []
    try:
        for colour in ("red", "green"):
            parts = [{"type": "video", "video": f"file://{folder}/{colour}.mp4"}, {"type": "text", "text": "What colour?"}]
            prompt = engine.render([{"role": "user", "content": parts}])
            found.append([token.logprob for token in asyncio.run(engine.score(prompt, model="m", top=0))][-1])
        url = f"data:video/mp4;base64,{base64.b64encode((folder / 'green.mp4').read_bytes()).decode()}"
        parts = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "What colour?"}]
        with Served(engine=engine) as server:
            body = {"model": "m", "messages": [{"role": "user", "content": parts}], "max_tokens": 2}
            answered = server.post("/v1/chat/completions", body).json()
            refused = server.post("/v1/chat/completions", {**body, "messages": [{"role": "user", "content": [_broken(parts[0])]}]})
        assert answered["usage"]["prompt_tokens"] == len(prompt)
        assert (refused.status_code, "can't be decoded" in refused.text) == (400, True)
    finally:
        engine.close()
    assert abs(found[0] - found[1]) > 1e-4


def _broken(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part with a video of which the end is missing."""
    return {**part, "video_url": {"url": part["video_url"]["url"][:100]}}


def _picture(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48), "red").save(path)


@pytest.mark.full("media")
@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_trained_on_videos(media_packages: Path, tmp_path: Path, name: str) -> None:
    """In a process of its own: transformers decides once what there is."""
    variables = {**os.environ, "PYTHONPATH": str(media_packages)}
    done = subprocess.run(
        [sys.executable, "-c", START, __file__, str(tmp_path), name], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


if __name__ == "__main__":
    check_family(Path(sys.argv[1]), sys.argv[2])
