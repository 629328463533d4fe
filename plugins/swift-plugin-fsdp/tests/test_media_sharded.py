"""Rows with and without images under fsdp: every process calls the vision tower in every pass, and trains as one process does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_train.testing import on_ranks, run_training, training_run, write_rows

from swift_core.plugins.registered import registry

pytestmark = pytest.mark.slow

COLOURS = ("red", "green", "blue", "yellow")


def rows_of(folder: Path) -> Path:
    """Write four rows with an image, and four of text that are shorter."""
    rows: list[dict[str, Any]] = []
    for colour in COLOURS:
        Image.new("RGB", (20, 30), colour).save(folder / f"{colour}.png")
        answer = {"role": "assistant", "content": colour}
        rows.append({"messages": [{"role": "user", "content": "<image>What colour is it?"}, answer], "images": [f"{colour}.png"]})
        rows.append({"messages": [{"role": "user", "content": "Hi"}, answer]})
    return write_rows(folder / "rows.jsonl", rows)


@pytest.mark.parametrize(("tuner", "options"), [("full", {}), ("lora", {"dropout": 0.0}), ("lora", {"dropout": 0.0, "freeze_vit": False})])
def test_a_process_without_a_picture_calls_the_tower_too(tiny_vlm, tmp_path, tuner, options):
    file = rows_of(tmp_path)

    def run(ranks: int) -> Any:
        steps = {"batch_size": 1, "gradient_accumulation_steps": 8 // ranks, "max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.5}
        return training_run(tiny_vlm, file, tuner=tuner, tuner_options=options, **steps)

    one = run_training(run(1), tmp_path / "one")
    sharded = run(2)
    sharded = replace(sharded, parts={**sharded.parts, "parallel": registry().choose("parallel", "fsdp", {})})
    two = on_ranks(2, partial(run_training, sharded, tmp_path / "two"))[0]
    found = [[(step["loss"], step["grad_norm"]) for step in steps if "loss" in step] for steps in (two, one)]
    torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(found[1]), atol=1e-5, rtol=1e-5)
