"""On-policy distillation: the divergence from the teacher falls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from grpo_server import Served
from swift_rollouts.generation import Generation, generation_file
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract import Server


@pytest.fixture(scope="module")
def teacher(tiny_model, tmp_path_factory):
    """The tiny model with other weights."""
    folder = tmp_path_factory.mktemp("teacher")
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    torch.manual_seed(3)
    with torch.no_grad():
        model.lm_head.weight.add_(0.02 * torch.randn_like(model.lm_head.weight))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    made = Served(folder, folder)
    yield made
    made.close()


def divergences(model, served, teacher, folder, *, steps, answers):
    rows = write_rows(folder / "rows.jsonl", [{"messages": [{"role": "user", "content": f"Say {number}."}]} for number in range(answers)])
    run = training_run(
        model, rows, task="gkd", max_steps=steps, learning_rate=4e-3, schedule="constant", batch_size=answers, epochs=99,
        max_completion_length=8, rollout=served.url, teacher_server=teacher.url,
    )  # fmt: skip
    metrics = run_training(replace(run, server=Server(served.url, ("m",))), folder / "run")
    return [line["divergence"] for line in metrics if "loss" in line]


def test_answers_are_scored_by_the_teacher(tiny_model, served, teacher, tmp_path):
    """The estimate is positive, and the teacher's numbers are those of its own forward pass."""
    assert divergences(tiny_model, served, teacher, tmp_path, steps=1, answers=16)[0] > 0
    group = Generation.read(generation_file(tmp_path / "run", 0)).groups[0]
    ids = [*group.ids, *group.answers[0].ids]
    with torch.inference_mode():
        logits = teacher.engine._served.unwrapped(input_ids=torch.tensor([ids]), use_cache=False).logits[0, len(group.ids) - 1 : -1]
    expected = logits.log_softmax(-1)[range(len(group.answers[0].ids)), group.answers[0].ids]
    torch.testing.assert_close(torch.tensor(group.answers[0].teacher), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.full("rl")
def test_the_divergence_from_the_teacher_falls(tiny_model, served, teacher, tmp_path):
    found = divergences(tiny_model, served, teacher, tmp_path, steps=12, answers=64)
    assert sum(found[-3:]) < 0.8 * sum(found[:3]), found
