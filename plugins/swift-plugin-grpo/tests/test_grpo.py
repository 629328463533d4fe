"""GRPO end to end on the tiny model: rollouts from a server, rewards, and the same training on one and two processes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from swift_rollouts.generation import Generation, generation_file
from swift_train.testing import on_ranks, run_training, training_run, write_rows

from swift_core.contract import Server

REWARDS = '''
def vowels(completions, **_):
    """Part of the letters that are vowels."""
    return [sum(letter in "aeiou" for letter in text.lower()) / max(1, len(text)) for text in completions]
'''
SETTINGS = {
    "max_steps": 3, "learning_rate": 1e-2, "schedule": "constant", "num_generations": 4, "batch_size": 4, "gradient_accumulation_steps": 2,
    "max_completion_length": 8, "shuffle": False, "max_grad_norm": 0.0,
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    (tmp_path / "rewards.py").write_text(REWARDS)
    rows = [{"messages": [{"role": "user", "content": f"Which word is number {number}?"}], "solution": str(number)} for number in range(8)]
    return write_rows(tmp_path / "rows.jsonl", rows), f"{tmp_path}/rewards.py:vowels"


def grpo_run(model, served, files, **options):
    rows, reward = files
    chosen = {"reward_funcs": [reward], "rollout": served.url, **SETTINGS, **options}
    task = chosen.pop("task", "grpo")
    run = training_run(model, rows, task=task, **chosen)
    return replace(run, server=Server(served.url, ("m",)))


def steps(metrics, names=("loss", "grad_norm", "reward", "entropy")):
    return [[line[name] for name in names] for line in metrics if "loss" in line]


def test_answers_are_sampled_scored_and_trained_on(tiny_model, served, files, tmp_path):
    metrics = run_training(grpo_run(tiny_model, served, files), tmp_path / "run")
    found = [line for line in metrics if "loss" in line]
    print(json.dumps(found, indent=1))
    assert len(found) == 3
    assert all(line["kl_engine"] < 1e-6 for line in found)  # the engine has the weights of each step
    assert all(line["ratio"] == pytest.approx(1) for line in found)
    generations = [Generation.read(generation_file(tmp_path / "run", number)) for number in range(3)]
    assert [generation.version for generation in generations] == [0, 1, 2]
    assert {len(group.answers) for generation in generations for group in generation.groups} == {4}
    assert served.engine.models == ("m",) or len(served.engine.models) == 2
