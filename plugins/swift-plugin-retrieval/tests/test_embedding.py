"""Embedding models train as one large batch in plain torch does, alike on any number of processes; transformers reads the result."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from swift_formats.sentence_transformers import Pooling, pooling_of
from swift_testing.encoders import write_encoder
from swift_train.merge import merge
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from torch.nn.functional import cross_entropy, normalize
from transformers import AutoModel, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Source
from swift_core.contract.errors import UsageError
from swift_core.runs import Report

WORDS = ("red", "green", "blue", "far", "near", "old", "cold")
ROWS = [
    {
        "query": f"Which word is number {number}?",
        "positive": " ".join(WORDS[: 1 + number % 5]),
        "negative": [" ".join(reversed(WORDS[: 2 + number % 4])), f"No {WORDS[number % 7]}."],
    }
    for number in range(12)
]
PAIRS = [{"sentence1": row["query"], "sentence2": row["positive"], "score": number % 5 / 5} for number, row in enumerate(ROWS)]
SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def steps(metrics):
    names = ("loss", "grad_norm", "accuracy", "spearman")
    return [{name: line[name] for name in names if name in line} for line in metrics if "loss" in line]


def vectors(model, tokenizer, texts, mode="lasttoken"):
    """Return the pooled states that transformers' own forward pass gives for each text, one by one."""
    found = []
    for text in texts:
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        found.append({"mean": states.mean(0), "cls": states[0], "lasttoken": states[-1]}[mode])
    return torch.stack(found)


def source(folder):
    found = Checkpoint.at(folder)
    return Source(reference=f"file:{folder}", path=str(folder), hash=found.hash(), format=found.format, family="llama")


@pytest.mark.parametrize("mode", ["lasttoken", "mean", "cls"])
def test_infonce_is_one_large_batch_in_plain_torch(tiny_model, rows, tmp_path, mode):
    """Micro-batches of one row: the documents of all rows of a step are negatives all the same."""
    options = {"task": "embedding", "tuner": "full", "batch_size": 1, "gradient_accumulation_steps": 4, "pooling": mode, **SETTINGS}
    ours = run_training(training_run(tiny_model, rows, **options), tmp_path / "run")
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_model), AutoModel.from_pretrained(tiny_model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for step, line in enumerate(steps(ours)):
        batch = ROWS[4 * step : 4 * step + 4]
        queries = vectors(model, tokenizer, [row["query"] for row in batch], mode)
        documents = vectors(model, tokenizer, [text for row in batch for text in (row["positive"], *row["negative"])], mode)
        scores = normalize(queries, dim=-1) @ normalize(documents, dim=-1).T / 0.05
        loss = cross_entropy(scores, torch.arange(4) * 3)
        loss.backward()
        assert line["loss"] == pytest.approx(float(loss.detach()), abs=2e-5)
        assert line["accuracy"] == pytest.approx(float((scores.detach().argmax(1) == torch.arange(4) * 3).float().mean()))
        optimizer.step()
        optimizer.zero_grad()
    out = tmp_path / "run" / "output"
    assert pooling_of(out) == Pooling(mode, True)
    assert Checkpoint.at(out).head == Checkpoint.at(out).manifest.head == "hidden"
    saved = AutoModel.from_pretrained(out, dtype=torch.float32)
    torch.testing.assert_close(vectors(saved, tokenizer, WORDS[:2], mode), vectors(model, tokenizer, WORDS[:2], mode), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("parallel", "options"),
    [
        ("ddp", {"query_negatives": True, "document_negatives": True, "mask_false_negatives": True}),
        ("fsdp", {"loss_type": "cosent", "matryoshka_dims": [4, 8]}),
    ],
)
def test_two_processes_train_as_one(tiny_model, tmp_path, parallel, options):
    file = write_rows(tmp_path / "rows.jsonl", PAIRS if "loss_type" in options else ROWS)
    options = {"task": "embedding", "validation": file, "tuner_options": {"dropout": 0.0}, **options, **SETTINGS}
    one = run_training(training_run(tiny_model, file, batch_size=4, **options), tmp_path / "one")
    run = training_run(tiny_model, file, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert len(steps(one)) == 3
    assert steps(two) == [pytest.approx(step, abs=2e-5, rel=1e-5) for step in steps(one)]
    heldout = [metrics[-1]["heldout_loss"] for metrics in (one, two)]
    assert heldout[1] == pytest.approx(heldout[0], abs=2e-5)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_an_encoder_gives_the_vectors_of_its_padded_texts(rows, tmp_path, kind):
    """The texts of a step share passes, although tokens attend to later ones."""
    model = write_encoder(tmp_path / "model", kind)
    options = {"task": "embedding", "tuner": "full", "batch_size": 4, "pooling": "mean", **SETTINGS, "max_steps": 1}
    (line,) = steps(run_training(training_run(model, rows, **options), tmp_path / "run"))
    tokenizer, plain = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model, dtype=torch.float32).train()
    queries = vectors(plain, tokenizer, [row["query"] for row in ROWS[:4]], "mean")
    documents = vectors(plain, tokenizer, [text for row in ROWS[:4] for text in (row["positive"], *row["negative"])], "mean")
    scores = normalize(queries, dim=-1) @ normalize(documents, dim=-1).T / 0.05
    assert line["loss"] == pytest.approx(float(cross_entropy(scores, torch.arange(4) * 3).detach()), abs=2e-5)
    assert Checkpoint.at(tmp_path / "run" / "output").head == "hidden"


def test_both_passes_drop_out_the_same(tiny_model, rows, tmp_path):
    """With a learning rate of 0, the value of the loss is that of the pass without gradients, and its gradient that of the other pass."""
    options = {"task": "embedding", "tuner_options": {"dropout": 0.5, "init": "gaussian"}, "batch_size": 4, **SETTINGS}
    runs = [training_run(tiny_model, rows, seed=1, **options) for _ in range(2)]
    one, two = (run_training(run, tmp_path / str(number)) for number, run in enumerate(runs))
    assert steps(one) == steps(two)


def test_a_merged_adapter_keeps_its_pooling(tiny_model, rows, tmp_path):
    options = {"task": "embedding", "pooling": "mean", "query_prompt": "query: ", "batch_size": 4, "learning_rate": 3e-2, "max_steps": 3}
    run_training(training_run(tiny_model, rows, **options), tmp_path / "run")
    adapter = tmp_path / "run" / "output"
    assert Checkpoint.at(adapter).head == "hidden"
    run = training_run(tiny_model, rows, **options)
    parts = {name: choice for name, choice in run.parts.items() if name == "loader"}
    run = replace(run, verb="merge", parts=parts, adapters={"default": source(adapter)}, datasets=())
    (tmp_path / "merge").mkdir()
    out, _ = merge(run, Report(tmp_path / "merge"))
    assert pooling_of(out) == Pooling("mean", True, {"query": "query: "})
    on = training_run(out, rows, **{**options, "pooling": "auto", "query_prompt": None, "tuner": "full"})
    run_training(on, tmp_path / "on")
    assert pooling_of(tmp_path / "on" / "output") == pooling_of(out)


def test_texts_are_cut_with_their_special_tokens(tiny_model, rows, tmp_path):
    options = {"task": "embedding", "max_length": 7, "batch_size": 4, **SETTINGS}
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, rows, **options), tmp_path / "error")
    assert error.value.code == "TRAIN-079"
    run_training(training_run(tiny_model, rows, truncation="right", **options), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "output" / "sentence_bert_config.json").read_text())["max_seq_length"] == 7


@pytest.mark.parametrize("row", [{"query": "a", "documents": ["b"], "labels": [0.5]}, {"query": "a", "documents": ["b"], "labels": [0]}])
def test_rows_without_a_relevant_document_are_refused(tiny_model, tmp_path, row):
    file = write_rows(tmp_path / "rows.jsonl", [ROWS[0], row])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, file, task="embedding", **SETTINGS), tmp_path / "run")
    assert "row 2" in error.value.where
