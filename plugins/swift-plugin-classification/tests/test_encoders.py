"""Encoders, whose tokens attend to later ones, train as transformers' own padded batches do."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from swift_formats.head_facts import head_facts
from swift_plugin_classification.options import SequenceClassificationOptions
from swift_plugin_classification.task import SequenceClassification
from swift_testing.encoders import KINDS, write_encoder
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract import RawRow

SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
TEXTS = ["The word " + " ".join(("red", "green", "blue", "far", "near")[: 1 + number % 5]) for number in range(12)]


@pytest.fixture
def rows(tmp_path):
    rows = [{"messages": [{"role": "user", "content": text}], "label": number % 3} for number, text in enumerate(TEXTS)]
    return write_rows(tmp_path / "rows.jsonl", rows)


def losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_transformers(rows, tmp_path, kind):
    options = {"task": "seq-cls", "num_labels": 3, "tuner": "full", "batch_size": 4, **SETTINGS}
    run_training(training_run(write_encoder(tmp_path / "model", kind), rows, **{**options, "max_steps": 1}), tmp_path / "first")
    start = tmp_path / "first" / "output"
    assert Checkpoint.at(start).head == "score:3"
    assert head_facts(start).input == "text"
    ours = losses(run_training(training_run(start, rows, **options), tmp_path / "run"))
    found = json.loads((tmp_path / "run" / "parallel.json").read_text())["rows"]
    assert (found["together"], found["causal"]) == (True, False)
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = AutoModelForSequenceClassification.from_pretrained(start, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for step in range(3):
        batch = tokenizer(TEXTS[4 * step : 4 * step + 4], padding=True, return_tensors="pt")
        loss = model(**batch, labels=torch.tensor([(4 * step + number) % 3 for number in range(4)])).loss
        loss.backward()
        assert ours[step] == pytest.approx(loss.item(), abs=2e-5)
        optimizer.step()
        optimizer.zero_grad()


def test_two_processes_train_an_adapter_as_one(rows, tmp_path):
    model = write_encoder(tmp_path / "model")
    options = {"task": "seq-cls", "num_labels": 3, "tuner_options": {"dropout": 0.0}, **SETTINGS}
    one = losses(run_training(training_run(model, rows, batch_size=4, **options), tmp_path / "one"))
    run = training_run(model, rows, batch_size=1, gradient_accumulation_steps=2, parallel="fsdp", **options)
    two = losses(on_ranks(2, partial(run_training, run, tmp_path / "two"))[0])
    assert two == pytest.approx(one, abs=2e-5)
    assert Checkpoint.at(tmp_path / "one" / "output").head == "score:3"


def test_a_text_is_cut_on_the_right_with_its_special_tokens(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(write_encoder(tmp_path / "model"))
    task = SequenceClassification(SequenceClassificationOptions(num_labels=3, max_length=8, truncation="right"))
    encoder = task.encoder(tokenizer)
    raw = RawRow({"messages": [{"role": "user", "content": TEXTS[4]}], "label": 1}, "rows.jsonl", 1)
    ((encoded,),) = encoder.tokeniser(encoder.texts(raw))
    assert encoded.ids.tolist() == tokenizer(TEXTS[4], truncation=True, max_length=8)["input_ids"]
    encoder.check(raw, [encoded])
