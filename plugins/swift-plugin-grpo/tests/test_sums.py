"""GRPO on the real model: the reward on sums of two-digit numbers rises."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from swift_core import train

REWARDS = """
import re

def right(completions, solution):
    found = [re.search(r"\\d+", text) for text in completions]
    return [float(bool(match) and match.group() == expected) for match, expected in zip(found, solution)]

def bare(completions):
    said = ["".join(text.split()) for text in completions]
    return [sum(letter.isdigit() for letter in text) / len(text) if text else 0.0 for text in said]
"""


@pytest.mark.full("rl")
def test_the_reward_on_sums_rises(smollm2: Path, tmp_path: Path) -> None:
    numbers = random.Random(0)
    pairs = [(numbers.randint(10, 99), numbers.randint(10, 99)) for _ in range(64)]
    rows = [
        {"messages": [{"role": "user", "content": f"{a} + {b} = ? Answer with the number only."}], "solution": str(a + b)} for a, b in pairs
    ]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "rewards.py").write_text(REWARDS)
    done = train(
        "grpo", model=str(smollm2), dataset=[str(tmp_path / "sums.jsonl")], runs=str(tmp_path / "runs"), dtype="float32",
        reward_funcs=[f"{tmp_path}/rewards.py:right", f"{tmp_path}/rewards.py:bare"], num_generations=6, batch_size=24, max_steps=12,
        max_completion_length=12, learning_rate=3e-4, schedule="constant",
        rollout={"name": "transformers", "options": {"dtype": "float32"}},
    )  # fmt: skip
    rewards = [json.loads(line)["reward"] for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    print([round(reward, 2) for reward in rewards])
    assert sum(rewards[-3:]) > 1.5 * sum(rewards[:3])
