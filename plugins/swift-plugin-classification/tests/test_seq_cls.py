"""Classifiers train as transformers' own losses do, alike on any number of processes; the head has as many scores as labels."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from swift_plugin_classification.options import SequenceClassificationOptions
from swift_plugin_classification.task import SequenceClassification
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from swift_train.truncation import truncate
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract import RawRow
from swift_core.contract.errors import UsageError
from swift_core.runs import Report

SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
TEXTS = ["The word " + " ".join(("red", "green", "blue", "far", "near")[: 1 + number % 5]) for number in range(12)]
LABELS = {
    "single_label_classification": [number % 3 for number in range(12)],
    "multi_label_classification": [[each for each in range(3) if (number >> each) & 1] for number in range(12)],
    "regression": [[number / 4, -number / 8, 0.5] for number in range(12)],
}


def labelled(path, labels):
    """Write rows; half of the conversations end with the user's turn."""
    answer = [{"role": "assistant", "content": "Yes."}]
    rows = [
        {"messages": [{"role": "user", "content": text}, *(answer if number % 2 else [])], "label": label}
        for number, (text, label) in enumerate(zip(TEXTS, labels, strict=True))
    ]
    return rows, write_rows(path, rows)


def steps(metrics):
    return [{name: line[name] for name in ("loss", "grad_norm", "accuracy", "mse") if name in line} for line in metrics if "loss" in line]


@pytest.mark.parametrize("kind", LABELS)
def test_the_loss_is_that_of_transformers(tiny_model, tmp_path, kind):
    """From a model with a head, so that both start from the same weights."""
    rows, file = labelled(tmp_path / "rows.jsonl", LABELS[kind])
    options = {"task": "seq-cls", "tuner": "full", "batch_size": 4, "num_labels": 3, "problem_type": kind, **SETTINGS}
    run_training(training_run(tiny_model, file, **{**options, "max_steps": 1}), tmp_path / "first")
    start = tmp_path / "first" / "output"
    assert Checkpoint.at(start).head == Checkpoint.at(start).manifest.head == "score:3"
    ours = run_training(training_run(start, file, **options), tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = AutoModelForSequenceClassification.from_pretrained(start, dtype=torch.float32, problem_type=kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    labels = torch.tensor(LABELS[kind]) if kind != "multi_label_classification" else torch.zeros(12, 3)
    for number, classes in enumerate(LABELS[kind]) if kind == "multi_label_classification" else ():
        labels[number, classes] = 1.0
    for step in range(3):
        batch = slice(4 * step, 4 * step + 4)
        texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in rows[batch]]
        output = model(**tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt"), labels=labels[batch])
        output.loss.backward()
        assert ours[step]["loss"] == pytest.approx(output.loss.item(), abs=2e-5)
        if kind == "single_label_classification":
            assert ours[step]["accuracy"] == pytest.approx((output.logits.argmax(-1) == labels[batch]).float().mean().item())
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_train_as_one(tiny_model, tmp_path, parallel):
    _, file = labelled(tmp_path / "rows.jsonl", LABELS["multi_label_classification"])
    options = {"task": "seq-cls", "num_labels": 3, "problem_type": "multi_label_classification", "validation": file}
    options |= {"tuner_options": {"dropout": 0.0}, **SETTINGS}
    one = run_training(training_run(tiny_model, file, batch_size=4, **options), tmp_path / "one")
    run = training_run(tiny_model, file, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert len(steps(one)) == 3
    assert steps(two) == [pytest.approx(step, abs=2e-5) for step in steps(one)]
    assert two[-1]["heldout_accuracy"] == pytest.approx(one[-1]["heldout_accuracy"])


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("single_label_classification", 3),
        ("single_label_classification", 0.5),
        ("single_label_classification", "red"),
        ("multi_label_classification", 1),
        ("multi_label_classification", [0, 3]),
        ("regression", 0.5),
        ("regression", ["far", 0, 1]),
    ],
)
def test_other_labels_are_refused_with_their_row(tiny_model, tmp_path, kind, label):
    _, file = labelled(tmp_path / "rows.jsonl", [LABELS[kind][0], label, *LABELS[kind][2:]])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, file, task="seq-cls", num_labels=3, problem_type=kind, **SETTINGS), tmp_path / "run")
    assert "row 2" in error.value.where


@pytest.mark.parametrize(("labels", "said"), [([0, 1] * 6, "no row is of the class 2"), ([1] * 12, "all rows are of the class 1")])
def test_classes_without_rows_are_said(tiny_model, tmp_path, monkeypatch, labels, said):
    notes = []
    monkeypatch.setattr(Report, "note", lambda _, text: notes.append(text))
    _, file = labelled(tmp_path / "rows.jsonl", labels)
    run_training(training_run(tiny_model, file, task="seq-cls", num_labels=3, **{**SETTINGS, "max_steps": 1}), tmp_path / "run")
    assert [said in text for text in notes if "WARNING" in text] == [True]


def test_the_system_prompt_of_the_options_is_in_the_text(tiny_model):
    from swift_plugin_classification.options import SequenceClassificationOptions
    from swift_plugin_classification.task import SequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    encoder = SequenceClassification(SequenceClassificationOptions(system="Rate it.")).encoder(tokenizer)
    (text,) = encoder.texts(RawRow({"messages": [{"role": "user", "content": "Fine."}], "label": 1}, "rows", 1))
    assert "Rate it." in text.text
    assert text.columns == (1.0,)


def test_a_checkpoint_with_another_number_of_labels_is_refused(tiny_model, tmp_path):
    _, file = labelled(tmp_path / "rows.jsonl", LABELS["single_label_classification"])
    options = {"task": "seq-cls", "tuner": "full", **SETTINGS, "max_steps": 1}
    run_training(training_run(tiny_model, file, num_labels=3, **options), tmp_path / "run")
    with pytest.raises(UsageError) as error:
        run_training(training_run(tmp_path / "run" / "output", file, num_labels=4, **options), tmp_path / "other")
    assert error.value.code == "TRAIN-128"


@pytest.mark.parametrize("truncation", ["error", "right", "left"])
def test_texts_without_a_chat_template(tiny_model, truncation):
    """A row is its text with the tokenizer's special tokens, scored at its last token, also of a text that is cut."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = None
    task = SequenceClassification(SequenceClassificationOptions(use_chat_template=False, truncation=truncation))
    encoder = task.encoder(tokenizer)
    raw = RawRow({"messages": [{"role": "user", "content": TEXTS[4]}], "label": 1}, "rows.jsonl", 1)
    ((encoded,),) = encoder.tokeniser(encoder.texts(raw))
    encoder.check(raw, [encoded])
    ids = tokenizer(TEXTS[4])["input_ids"]
    assert (encoded.ids.tolist(), encoded.columns) == (ids, (1.0,))
    if truncation != "error":
        (cut,) = truncate(encoded, truncation, 5)
        assert cut.ids.tolist() == (ids[:5] if truncation == "right" else ids[-5:])
        assert [tuple(span) for span in cut.spans] == [(4, 5, 1.0)]
    several = RawRow({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "u"}], "label": 1}, "rows.jsonl", 2)
    with pytest.raises(UsageError, match="2 messages"):
        encoder.texts(several)
