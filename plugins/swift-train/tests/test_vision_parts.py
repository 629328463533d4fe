"""Parts of a vision-language model: frozen, adapted and trained at rates of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from swift_testing.vision_models import write_vision_model
from swift_train.build import load_checkpoint
from swift_train.media.options import MediaOptions, use_media_options
from swift_train.model_parts import Parts, parts_of
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForImageTextToText, AutoProcessor

from swift_core.checkpoints import UNKNOWN
from swift_core.contract import UsageError

COLOURS = ("red", "blue", "green")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parts")
    write_vision_model(made / "model", "llava")
    for colour in COLOURS:
        Image.new("RGB", (90, 60), colour).save(made / f"{colour}.png")
    question = {"role": "user", "content": "<image>What colour?"}
    rows = [{"messages": [question, {"role": "assistant", "content": name}], "images": [f"{name}.png"]} for name in COLOURS]
    write_rows(made / "rows.jsonl", rows)
    return made


def trained(folder: Path, run: Path, tuner: str = "full", options: dict[str, Any] | None = None, **task: Any) -> Path:
    asked = {"max_steps": 2, "learning_rate": 1e-2, "batch_size": 3, **task}
    run_training(training_run(folder / "model", folder / "rows.jsonl", tuner=tuner, tuner_options=options, **asked), run)
    return run / "output"


def moved(folder: Path, output: Path) -> dict[str, float]:
    """Return the largest change of a weight in each part."""
    before, after = load_file(folder / "model" / "model.safetensors"), load_file(output / "model.safetensors")
    prefixes = {"vit": ("vision_tower", "model.vision_tower"), "aligner": ("multi_modal_projector", "model.multi_modal_projector")}
    found = {"vit": 0.0, "aligner": 0.0, "llm": 0.0}
    for name, weight in before.items():
        part = next((part for part, starts in prefixes.items() if name.startswith(starts)), "llm")
        found[part] = max(found[part], float((after[name] - weight).abs().max()))
    return found


@pytest.mark.parametrize(
    ("options", "learned"),
    [
        ({}, {"vit", "aligner", "llm"}),
        ({"freeze_vit": True}, {"aligner", "llm"}),
        ({"freeze_vit": True, "freeze_llm": True}, {"aligner"}),
        ({"freeze_llm": True, "freeze_aligner": True}, {"vit"}),
    ],
)
def test_frozen_parts_stay_as_they_are(folder, tmp_path, options, learned):
    change = moved(folder, trained(folder, tmp_path / "run", options=options))
    assert {part for part, value in change.items() if value} == learned


def test_parts_learn_at_rates_of_their_own(folder, tmp_path):
    change = moved(folder, trained(folder, tmp_path / "run", vit_lr=1e-5, aligner_lr=1e-3))
    assert change["vit"] < 1e-4 < change["aligner"] < 3e-3 < change["llm"]


@pytest.mark.parametrize(
    ("options", "adapted"),
    [
        ({}, {"language_model"}),
        ({"freeze_vit": False}, {"language_model", "vision_tower"}),
        ({"freeze_vit": False, "freeze_aligner": False, "freeze_llm": True}, {"vision_tower", "multi_modal_projector"}),
    ],
)
def test_adapters_are_in_the_parts_that_learn_and_are_merged(folder, tmp_path, options, adapted):
    output = trained(folder, tmp_path / "run", "lora", options)
    names = load_file(output / "adapter_model.safetensors")
    assert {part for part in ("language_model", "vision_tower", "multi_modal_projector") for name in names if part in name} == adapted
    assert json.loads((output / "adapter_config.json").read_text())["target_modules"]
    loaded = load_checkpoint(folder / "model", adapters={"default": output}, device="cpu", dtype="float32", allow_other_base=True)
    processor = loaded.processor
    text = processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}])
    inputs = processor(text=[text], images=[[Image.open(folder / "red.png")]], return_tensors="pt")
    with torch.no_grad():
        before = AutoModelForImageTextToText.from_pretrained(folder / "model")(**inputs).logits
        adapted_logits = loaded.model(**inputs).logits
        merged = loaded.model.merge_and_unload()(**inputs).logits
    assert (adapted_logits - merged).abs().max() < 1e-3
    assert (adapted_logits - before).abs().max() > 1e-2


def test_a_family_that_names_no_parts_is_asked_of_the_model(folder):
    model = AutoModelForImageTextToText.from_pretrained(folder / "model")
    parts = parts_of(model, UNKNOWN)
    assert parts == Parts("model.vision_tower", "", "model.language_model")
    named = {parts.of(name) for name, _ in model.named_parameters()}
    assert named == {"vit", "llm", "aligner"}
    assert parts.of("model.multi_modal_projector.linear_1.weight") == "aligner"
    assert Parts().of("model.layers.0.mlp.weight") == "llm"


def test_a_processor_without_a_limit_of_pixels_refuses_one(folder):
    with pytest.raises(UsageError, match="no limit of pixels"):
        use_media_options(AutoProcessor.from_pretrained(folder / "model"), MediaOptions(max_pixels=100_000))
