"""Token classifiers train as transformers' own losses do, alike on any number of processes, from words and from spans."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from swift_formats.head_facts import head_facts
from swift_plugin_classification.entity_metric import EntityF1
from swift_plugin_classification.token_options import TokenClassificationOptions
from swift_plugin_classification.token_task import TokenClassification
from swift_testing.encoders import write_encoder
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from transformers import AutoModelForTokenClassification, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract import RawRow
from swift_core.contract.errors import UsageError
from swift_core.runs import Report

SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
PEOPLE, PLACES = ["Ada", "Bob", "Eve Ray", "Cy"], ["Rome", "New York", "Bern"]


def tagged_rows():
    """Return rows of words with tags."""
    rows = []
    for number in range(12):
        person, place = PEOPLE[number % 4].split(), PLACES[number % 3].split()
        tokens = [*person, "lives", *["now"] * (number % 3), "in", *place, "."]
        inside = [["B-PER", "I-PER"][: len(person)], ["B-LOC", "I-LOC"][: len(place)]]
        rows.append({"tokens": tokens, "tags": [*inside[0], "O", *["O"] * (number % 3), "O", *inside[1], "O"]})
    return rows


def losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_loss_is_that_of_transformers(tiny_model, tmp_path, kind):
    """With the labels of the first tokens, as run_ner.py has them; both start from the same weights."""
    rows = tagged_rows()
    file = write_rows(tmp_path / "rows.jsonl", rows)
    model = write_encoder(tmp_path / "model") if kind == "bert" else tiny_model
    options = {"task": "token-cls", "label_names": NAMES, "num_labels": 5, "tuner": "full", "batch_size": 4, **SETTINGS}
    run_training(training_run(model, file, **{**options, "max_steps": 1}), tmp_path / "first")
    start = tmp_path / "first" / "output"
    assert Checkpoint.at(start).head == Checkpoint.at(start).manifest.head == "token:5"
    assert (head_facts(start).input, list(head_facts(start).labels)) == ("words", NAMES)
    reference = AutoModelForTokenClassification.from_pretrained(start, dtype=torch.float32)
    assert list(reference.config.id2label.values()) == NAMES
    for part in reference.modules():
        part.training = not isinstance(part, torch.nn.Dropout)
    seen = run_training(training_run(without_dropout(start), file, **options), tmp_path / "run")
    tokenizer, ours = AutoTokenizer.from_pretrained(start), losses(seen)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=3e-3, weight_decay=0.0)
    for step in range(3):
        batch = rows[4 * step : 4 * step + 4]
        encoded = tokenizer([" ".join(row["tokens"]) for row in batch], padding=True, padding_side="right", return_tensors="pt")
        labels = torch.full(encoded["input_ids"].shape, -100)
        for number, row in enumerate(batch):
            place = 0
            for word, tag in zip(row["tokens"], row["tags"], strict=True):
                token = encoded.char_to_token(number, place)
                labels[number, token] = NAMES.index(tag)
                place += len(word) + 1
        output = reference(**encoded, labels=labels)
        output.loss.backward()
        assert ours[step] == pytest.approx(output.loss.item(), abs=2e-5)
        right = (output.logits.argmax(-1) == labels)[labels != -100]
        assert seen[step]["accuracy"] == pytest.approx(right.float().mean().item())
        optimizer.step()
        optimizer.zero_grad()


def without_dropout(folder):
    """Set the dropout before the output layer, 0.1 by default, to 0."""
    import json

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "classifier_dropout": 0.0}))
    return folder


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_train_as_one(tiny_model, tmp_path, parallel):
    file = write_rows(tmp_path / "rows.jsonl", tagged_rows())
    run_training(
        training_run(tiny_model, file, task="token-cls", label_names=NAMES, num_labels=5, tuner="full", max_steps=1), tmp_path / "first"
    )
    model = without_dropout(tmp_path / "first" / "output")
    options = {
        "task": "token-cls",
        "label_names": NAMES,
        "num_labels": 5,
        "tuner_options": {"dropout": 0.0},
        "validation": file,
        **SETTINGS,
    }
    one = run_training(training_run(model, file, batch_size=4, **options), tmp_path / "one")
    run = training_run(model, file, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert losses(two) == pytest.approx(losses(one), abs=2e-5)
    for name in ("heldout_accuracy", "heldout_f1"):
        assert two[-1][name] == pytest.approx(one[-1][name])
    assert Checkpoint.at(tmp_path / "one" / "output").head == "token:5"


def encoded(tokenizer, row, **options):
    encoder = TokenClassification(TokenClassificationOptions(label_names=NAMES, **options)).encoder(tokenizer)
    raw = RawRow(row, "rows.jsonl", 1)
    ((found,),) = encoder.tokeniser(encoder.texts(raw))
    encoder.check(raw, [found])
    return tokenizer.convert_ids_to_tokens(found.ids.tolist()), [NAMES[number] if number >= 0 else "" for number in found.targets]


SPANS = {"text": "Ada, of New York", "spans": [[0, 3, "PER"], {"start": 8, "end": 16, "label": "LOC"}]}


def test_spans_label_the_first_token_of_each_word(tmp_path):
    tokens, labels = encoded(AutoTokenizer.from_pretrained(write_encoder(tmp_path / "model")), SPANS)
    assert [(token, label) for token, label in zip(tokens, labels, strict=True) if label] == [
        ("A", "B-PER"), (",", "O"), ("o", "O"), ("N", "B-LOC"), ("Y", "I-LOC")
    ]  # fmt: skip


def test_spans_label_all_tokens(tmp_path):
    _, labels = encoded(AutoTokenizer.from_pretrained(write_encoder(tmp_path / "model")), SPANS, label_all_tokens=True)
    inside = ["I-LOC"] * (len("NewYork") - 1)
    assert labels == ["", "B-PER", "I-PER", "I-PER", "O", "O", "O", "B-LOC", *inside, ""]


def test_a_token_that_begins_before_an_entity_is_the_entitys(tiny_model):
    """And two entities in one token are refused: one of them would be lost."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    text = next(token for token in tokenizer.get_vocab() if len(token) > 3 and token.isalpha() and token.isascii())
    row = {"text": text, "spans": [[2, len(text), "LOC"]]}
    assert "B-LOC" in encoded(tokenizer, row, label_all_tokens=True)[1]
    encoder = TokenClassification(TokenClassificationOptions(label_names=NAMES)).encoder(tokenizer)
    two = RawRow({"text": text, "spans": [[0, 2, "PER"], [2, len(text), "LOC"]]}, "rows.jsonl", 1)
    (found,) = encoder.tokeniser(encoder.texts(two))
    assert "no token of its own" in str(found)


def test_words_label_all_tokens(tiny_model):
    """Of a decoder, whose first token has a label too."""
    _, labels = encoded(AutoTokenizer.from_pretrained(tiny_model), {"tokens": ["Ada", "ran"], "tags": [1, "O"]}, label_all_tokens=True)
    assert set(labels) - {""} == {"B-PER", "I-PER", "O"}
    assert labels.count("B-PER") == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O", "B-ORG"]}, "B-ORG"),
        ({"tokens": ["a", "b"], "tags": [0, 5]}, "5"),
        ({"tokens": ["a", "b"], "tags": [0]}, "1 tags for 2 words"),
        ({"tokens": ["a", " "], "tags": [0, 0]}, "empty"),
        ({"text": "abc", "spans": [[0, 4, "PER"]]}, "3 characters"),
        ({"text": "abc", "spans": [[0, 2, "PER"], [1, 3, "LOC"]]}, "overlap"),
        ({"text": "abc", "tokens": ["a", "x"], "tags": [0, 0]}, "'x'"),
    ],
)
def test_other_labels_are_refused_with_their_row(tiny_model, tmp_path, row, said):
    file = write_rows(tmp_path / "rows.jsonl", [*tagged_rows()[:1], row])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, file, task="token-cls", label_names=NAMES, num_labels=5, **SETTINGS), tmp_path / "run")
    assert "row 2" in error.value.where
    assert said in error.value.message


def test_the_f1_score_counts_entities_with_both_borders():
    score = EntityF1(NAMES)
    number = {name: place for place, name in enumerate(NAMES)}
    true = [number[name] for name in ("B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "I-LOC")]
    found = [number[name] for name in ("B-PER", "I-PER", "O", "B-LOC", "I-LOC", "I-LOC", "I-LOC")]
    sequence = torch.tensor([0, 0, 0, 0, 0, 0, 1])
    right, both = score(torch.tensor(found), torch.tensor(true), sequence)
    assert (right.item(), both.item()) == (2 * 2, 3 + 4)  # PER, and LOC of the second row


def test_classes_without_tokens_are_said(tiny_model, tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr(Report, "note", lambda _, text: notes.append(text))
    file = write_rows(tmp_path / "rows.jsonl", [{"tokens": ["Ada", "ran"], "tags": ["B-PER", "O"]}] * 4)
    run_training(training_run(tiny_model, file, task="token-cls", label_names=NAMES, num_labels=5, max_steps=1), tmp_path / "run")
    assert ["I-PER, B-LOC, I-LOC" in text for text in notes if "WARNING" in text] == [True]


def test_label_names_count_the_labels():
    assert TokenClassificationOptions(label_names=NAMES).num_labels == 5
    with pytest.raises(ValueError, match="label_names"):
        TokenClassificationOptions(label_names=NAMES, num_labels=4)
