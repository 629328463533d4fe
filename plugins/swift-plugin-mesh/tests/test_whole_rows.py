"""Losses of whole rows, and of all rows of a step, train on shards of the tokens as in one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from swift_train.testing import on_ranks, run_training, training_run, write_rows

from swift_core.plugins.registered import registry

pytestmark = pytest.mark.slow

WORDS = ("red", "green", "blue", "far", "near", "old")
ANSWERS = [" ".join(WORDS[: 1 + number % 5]) + "." for number in range(5)]  # of ragged lengths: shards end in the middle of rows
PROMPTS = [f"Which word is number {number}?" for number in range(5)]
PAIRS = [{"prompt": prompt, "chosen": answer, "rejected": f"No {answer} No."} for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
TASKS = {
    "dpo": (PAIRS, {"rpo_alpha": 0.1}),
    "kto": ([{"prompt": row["prompt"], "completion": row["chosen"], "label": number % 2 == 0} for number, row in enumerate(PAIRS)], {}),
    "rm": (PAIRS, {}),
    "embedding": ([{"query": row["prompt"], "positive": row["chosen"], "negative": [row["rejected"]]} for row in PAIRS], {}),
    "generative-reranker": (
        [{"query": row["prompt"], "positive": [row["chosen"]], "negative": [row["rejected"]]} for row in PAIRS],
        {"yes_token": "y", "no_token": "n"},
    ),
}
SETTINGS = {
    "batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 2, "learning_rate": 3e-3, "tuner_options": {"dropout": 0.0},
}  # fmt: skip


def figures(metrics):
    """Return every metric of each step but those of time and memory."""
    shown = ("loss", "grad_norm", "heldout_loss", "accuracy", "rewards/margins", "kl")
    return [{name: line[name] for name in shown if name in line} for line in metrics if "loss" in line or "heldout_loss" in line]


@pytest.mark.parametrize("task", TASKS)
def test_losses_of_rows_on_shards_of_their_tokens(tiny_model, tmp_path, task):
    """Losses, gradient norms, metrics and held-out losses; every process reports the same."""
    rows, more = TASKS[task]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    run = training_run(tiny_model, path, task=task, validation=path, **SETTINGS, **more)
    one = run_training(run, tmp_path / "one")
    sharded = replace(run, parts={**run.parts, "parallel": registry().choose("parallel", "mesh", {"context": 2})})
    many = on_ranks(2, partial(run_training, sharded, tmp_path / "many"))
    assert len(figures(one)) >= 3
    for ours, theirs in zip(figures(many[0]), figures(one), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert figures(many[1]) == figures(many[0])
