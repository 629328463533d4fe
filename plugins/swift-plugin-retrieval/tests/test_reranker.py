"""Rerankers train as plain torch computes their losses with transformers' models, alike on any number of processes."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from swift_formats.cross_encoder import logit_score_of
from swift_formats.head_facts import head_facts
from swift_testing.encoders import write_encoder
from swift_train.pair_texts import PairTexts
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import UsageError

WORDS = ("red", "green", "blue", "far", "near", "old", "cold")
ROWS = [
    {"query": f"Which is {number}?", "positive": WORDS[number % 7], "negative": [WORDS[(number + 2) % 7], "none of " + WORDS[number % 5]]}
    for number in range(12)
]
SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


def reference(scores, name):
    """Return the loss of a step of four queries, from the scores of their three documents each, (4, 3)."""
    if name == "pointwise":
        return binary_cross_entropy_with_logits(scores, torch.tensor([1.0, 0.0, 0.0]).expand(4, 3))
    if name == "listwise":
        return cross_entropy(scores, torch.zeros(4, dtype=torch.long))
    return cross_entropy(scores, torch.tensor([1.0, 0.0, 0.0]).softmax(0).expand(4, 3))


def train_plainly(model, score, name):
    """Return the losses of the three steps; `score` gives that of a pair."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    found = []
    for step in range(3):
        pairs = [[(row["query"], text) for text in (row["positive"], *row["negative"])] for row in ROWS[4 * step : 4 * step + 4]]
        loss = reference(torch.stack([torch.stack([score(*pair) for pair in own]) for own in pairs]), name)
        loss.backward()
        found.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    return found


def start_of(model, rows, tmp_path):
    """Return a model with a head, so that both start from the same weights."""
    options = {"task": "reranker", "tuner": "full", "batch_size": 4, **SETTINGS, "max_steps": 1}
    run_training(training_run(model, rows, **options), tmp_path / "first")
    return tmp_path / "first" / "output"


@pytest.mark.parametrize(("kind", "name"), [("decoder", "pointwise"), ("bert", "listwise"), ("roberta", "listnet")])
def test_the_loss_is_that_of_plain_torch(tiny_model, rows, tmp_path, kind, name):
    start = start_of(tiny_model if kind == "decoder" else write_encoder(tmp_path / "model", kind), rows, tmp_path)
    options = {"task": "reranker", "tuner": "full", "batch_size": 2, "gradient_accumulation_steps": 2, "loss_type": name, **SETTINGS}
    ours = losses(run_training(training_run(start, rows, **options), tmp_path / "run"))
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = AutoModelForSequenceClassification.from_pretrained(start, dtype=torch.float32)

    def score(query, document):
        if kind != "decoder":
            return model(**tokenizer(query, document, return_tensors="pt")).logits[0, 0]
        messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        assert query in text
        return model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits[0, 0]

    assert ours == pytest.approx(train_plainly(model, score, name), abs=3e-5)
    out = tmp_path / "run" / "output"
    assert Checkpoint.at(out).head == "score:1"
    assert head_facts(out).input == "pair"
    assert json.loads((out / "config.json").read_text())["sentence_transformers"]["activation_fn"].endswith("Sigmoid")


def test_a_language_model_learns_its_answers(tiny_model, rows, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    yes, no = (next(text for text in tokenizer.get_vocab() if text.isalpha() and text.startswith(first)) for first in "yn")
    options = {"task": "generative-reranker", "tuner": "full", "batch_size": 4, "yes_token": yes, "no_token": no, **SETTINGS}
    ours = losses(run_training(training_run(tiny_model, rows, **options), tmp_path / "run"))
    out = tmp_path / "run" / "output"
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = [tokenizer.convert_tokens_to_ids(text) for text in (yes, no)]

    def score(query, document):
        text = PairTexts(tokenizer).text(query, document)
        logits = model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits[0, -1]
        return logits[ids[0]] - logits[ids[1]]

    assert ours == pytest.approx(train_plainly(model, score, "pointwise"), abs=3e-5)
    assert logit_score_of(out).true_token_id == ids[0]
    assert head_facts(out).labels == (no, yes)


@pytest.mark.parametrize(("parallel", "name"), [("ddp", "pointwise"), ("fsdp", "listwise")])
def test_two_processes_train_as_one(tiny_model, rows, tmp_path, parallel, name):
    ragged = [{**row, "negative": row["negative"][: 1 + number % 2]} for number, row in enumerate(ROWS)]
    file = write_rows(tmp_path / "ragged.jsonl", ragged)
    options = {"task": "reranker", "loss_type": name, "validation": rows, "tuner_options": {"dropout": 0.0}, **SETTINGS}
    one = run_training(training_run(tiny_model, file, batch_size=4, **options), tmp_path / "one")
    run = training_run(tiny_model, file, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert losses(two) == pytest.approx(losses(one), abs=2e-5)
    assert two[-1]["heldout_accuracy"] == pytest.approx(one[-1]["heldout_accuracy"])


def test_a_pair_that_is_too_long_loses_the_end_of_its_document(tiny_model, tmp_path):
    long = [{**row, "positive": "word " * 2000} for row in ROWS]
    file = write_rows(tmp_path / "long.jsonl", long)
    options = {"task": "reranker", "max_length": 600, **SETTINGS}
    with pytest.raises(UsageError):
        run_training(training_run(tiny_model, file, **options), tmp_path / "error")
    run_training(training_run(tiny_model, file, truncation="right", **options), tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "output")
    (cut,) = PairTexts(tokenizer).fitted([("Which?", "word " * 2000)], 600)
    (short,) = PairTexts(tokenizer)([("Which?", "x")])
    assert len(cut.ids) <= 600
    assert cut.ids[-2:] == short.ids[-2:]  # the template's end is there


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"query": "a", "documents": ["b", "c"], "labels": [3, 0]}, {}),
        ({"query": "a", "positive": "b"}, {"loss_type": "listwise"}),
        ({"query": "a", "documents": ["b", "c"], "labels": [0, 0]}, {"loss_type": "listwise"}),
    ],
)
def test_rows_that_a_loss_cannot_learn_from_are_refused(tiny_model, tmp_path, row, options):
    file = write_rows(tmp_path / "rows.jsonl", [ROWS[0], row])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, file, task="reranker", **options, **SETTINGS), tmp_path / "run")
    assert "row 2" in error.value.where
