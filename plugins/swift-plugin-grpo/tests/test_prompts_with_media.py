"""Online training on prompts with pictures: engine and trainer see the same picture, the same prompt and the same tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image
from swift_rollouts.generation import Generation, generation_file
from swift_testing.tiny_vlm import write_tiny_vlm
from swift_train.testing import run_training, training_run, write_rows

from swift_core.contract import Server, UsageError
from tests.in_process_server import Served

COLOURS = ("red", "blue", "green", "white")
REWARDS = '''
def long_words(completions, prompts, **_):
    """Letters of the answer; each answer is told of its picture."""
    assert all(given[-1]["content"][0]["image"].endswith(".png") for given in prompts)
    return [float(len(set(text))) for text in completions]
'''
SETTINGS = {
    "max_steps": 2, "learning_rate": 1e-2, "schedule": "constant", "num_generations": 4, "batch_size": 8, "max_completion_length": 6,
    "shuffle": False, "reward_funcs": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def vlm(tmp_path_factory):
    """A checkpoint behind a URL, and rows with pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    model = write_tiny_vlm(folder / "model")
    for colour in COLOURS:
        Image.new("RGB", (16, 16), colour).save(folder / f"{colour}.png")
    rows = [{"messages": [{"role": "user", "content": "<image>What colour?"}], "images": [f"{name}.png"]} for name in COLOURS]
    (folder / "rewards.py").write_text(REWARDS)
    served = Served(model, folder.parent)
    yield served, model, write_rows(folder / "rows.jsonl", rows), folder
    served.close()


def trained(vlm, folder, task="grpo", *, model=None, **options):
    served, own, rows, sources = vlm
    rewards = {"reward_funcs": [f"{sources}/rewards.py:long_words"]} if task == "grpo" else {}
    kept = {name: value for name, value in SETTINGS.items() if task == "grpo" or name not in ("num_generations", "reward_funcs")}
    run = training_run(model or own, rows, task=task, rollout=served.url, **{**kept, **rewards, **options})
    metrics = run_training(replace(run, server=Server(served.url, ("m",))), folder)
    return [line for line in metrics if "loss" in line]


def test_grpo(vlm, tmp_path):
    found = trained(vlm, tmp_path / "run", temperature=0.9)
    assert len(found) == 2
    assert all(line["reward_std"] > 0 and line["grad_norm"] > 0 for line in found)
    assert max(abs(line["kl_engine"]) for line in found) < 1e-6
    groups = Generation.read(generation_file(tmp_path / "run", 0)).groups
    assert groups[0].ids == groups[1].ids  # two pictures of one size, in one prompt
    alike = trained(vlm, tmp_path / "other", beta=0.1, num_iterations=2, max_steps=2, learning_rate=1e-3)
    assert abs(alike[0]["kl_engine"]) < 1e-6


def test_distillation(vlm, tmp_path):
    """The student is its own teacher: the divergence is zero only if both see the pictures."""
    (first, _) = trained(vlm, tmp_path / "run", "gkd", teacher_model=str(vlm[1]), learning_rate=1e-9)
    assert abs(first["divergence"]) < 1e-6
    assert abs(first["kl_engine"]) < 1e-6
    with pytest.raises(UsageError, match="teacher's server is not sent") as refused:
        trained(vlm, tmp_path / "refused", "gkd", teacher_server="http://127.0.0.1:9/v1")
    assert "row 1" in str(refused.value.where)


def test_an_engine_with_another_processor_is_refused(vlm, tmp_path):
    """It makes more tokens of a picture than the model that is trained."""
    larger = write_tiny_vlm(tmp_path / "larger", image_size=32)
    with pytest.raises(UsageError, match="another prompt of a row with media"):
        trained(vlm, tmp_path / "run", model=larger)


def test_conversations_that_go_on_are_refused(vlm, tmp_path):
    (tmp_path / "turns.py").write_text("def reply(conversation):\n    return None\n")
    with pytest.raises(UsageError, match="has media"):
        trained(vlm, tmp_path / "run", multi_turn_scheduler=f"{tmp_path}/turns.py:reply", max_turns=2)
