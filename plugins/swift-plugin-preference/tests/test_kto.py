"""KTO is its equation in plain torch, and the same on any number of processes and with any micro-batch size."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract.errors import UsageError
from swift_core.runs import Report

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Which word is number {number}?"},
            {"role": "assistant", "content": " ".join(("red", "green", "blue", "far")[: 1 + number % 4]) + "."},
        ],
        "label": number % 6 != 0,
    }
    for number in range(12)
]
BETA, RATE = 0.3, 3e-3
SETTINGS = {"max_steps": 3, "learning_rate": RATE, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant", "beta": BETA}
METRICS = ("loss", "grad_norm", "kl", "rewards/chosen", "rewards/rejected")


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def steps(metrics):
    return [[line.get(name, 0.0) for name in METRICS] for line in metrics if "loss" in line]


def encoded(tokenizer, row):
    """Return the tokens of the prompt, and those of the answer with its end-of-turn token."""
    prompt = tokenizer.apply_chat_template(row["messages"][:1], tokenize=True, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False)
    end = len(whole) - whole[::-1].index(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    return whole[: len(prompt)], whole[len(prompt) : end]


def log_probability(model, prompt, answer):
    logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1)[range(len(answer)), answer].sum()


def test_kto_is_its_equation_in_plain_torch(tiny_model, rows, tmp_path):
    run = training_run(tiny_model, rows, task="kto", tuner="full", batch_size=4, undesirable_weight=1.5, **SETTINGS)
    ours = run_training(run, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model, base = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    sequences = [encoded(tokenizer, row) for row in ROWS]
    order = np.random.default_rng(42).permutation(len(ROWS)).tolist()
    other = {row: order[place - 1] for place, row in enumerate(order)}
    expected = []
    for step in range(3):
        batch = range(4 * step, 4 * step + 4)
        with torch.no_grad():
            pairs = [(sequences[row][0], sequences[other[row]][1]) for row in batch]
            kl = max(0.0, float(sum(log_probability(model, *pair) - log_probability(base, *pair) for pair in pairs)) / 4)
        losses = []
        for row in batch:
            with torch.no_grad():
                reference = log_probability(base, *sequences[row])
            ratio = log_probability(model, *sequences[row]) - reference
            gain = BETA * (ratio - kl if ROWS[row]["label"] else kl - ratio)
            losses.append((1.0 if ROWS[row]["label"] else 1.5) * (1 - torch.sigmoid(gain)))
        loss = torch.stack(losses).mean()
        loss.backward()
        expected.append((float(loss.detach()), kl))
        optimizer.step()
        optimizer.zero_grad()
    assert expected[2][1] > 0.005, "the divergence matters"
    assert [(line["loss"], line["kl"]) for line in ours if "loss" in line] == [pytest.approx(pair, rel=1e-5, abs=2e-5) for pair in expected]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_train_as_one(tiny_model, rows, tmp_path, parallel):
    options = {"task": "kto", "tuner_options": {"dropout": 0.0}, **SETTINGS}
    one = run_training(training_run(tiny_model, rows, batch_size=4, **options), tmp_path / "one")
    run = training_run(tiny_model, rows, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    torch.testing.assert_close(torch.tensor(steps(two)), torch.tensor(steps(one)), atol=2e-5, rtol=2e-5)


def test_a_label_that_is_no_judgement_is_refused(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [ROWS[0], {**ROWS[1], "label": 0.7}])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, rows, task="kto", **SETTINGS), tmp_path / "run")
    assert error.value.code == "TRAIN-104"
    assert "row 2" in error.value.where


@pytest.mark.parametrize("label", [True, False])
def test_labels_of_one_kind_are_said(tiny_model, tmp_path, monkeypatch, label):
    said = []
    monkeypatch.setattr(Report, "note", lambda _, text: said.append(text))
    rows = write_rows(tmp_path / "rows.jsonl", [{**row, "label": label} for row in ROWS])
    run_training(training_run(tiny_model, rows, task="kto", **{**SETTINGS, "max_steps": 1}), tmp_path / "run")
    (text,) = [text for text in said if "WARNING" in text]
    assert f"all 12 rows are labelled {'good' if label else 'bad'}" in text


def test_one_row_is_refused(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ROWS[:1])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, rows, task="kto", **SETTINGS), tmp_path / "run")
    assert error.value.code == "TRAIN-105"
