"""Prepared benchmarks as questions for Inspect."""

from __future__ import annotations

import json

import pytest
from swift_evaluate.prepare import prepare
from swift_plugin_inspect.tasks import questions

ARC = {
    "id": "E1",
    "answerKey": "2",
    "question": {"stem": "Which is a gas?", "choices": [{"text": "iron", "label": "1"}, {"text": "air", "label": "2"}]},
}
HELLASWAG = {"activity_label": "Cooking", "ctx_a": "A man [title] cooks", "ctx_b": "he", "endings": ["a [x]", "b", "c", "d"], "label": 1}
FILES = {
    "arc": {"ARC-Easy-Test.jsonl": json.dumps(ARC)},
    "cmnli": {"dev.json": '{"sentence1": "a", "sentence2": "b", "label": "contradiction"}'},
    "gsm8k": {
        "test.jsonl": '{"question": "600 + 600?", "answer": "So\\n#### 1,200"}',
        "train.jsonl": '{"question": "1 + 1?", "answer": "Easy\\n#### 2"}',
    },
    "hellaswag": {"hellaswag_val.jsonl": json.dumps(HELLASWAG)},
    "mmlu": {"anatomy_test.csv": "Where?,a,b,c,d,D\nWho?,a,b,c,d,A\n", "law_test.csv": "What?,a,b,c,d,B\n"},
}
EXPECTED = {  # target and number of choices of the first question
    "arc": ("B", 2),
    "cmnli": ("C", 3),
    "gsm8k": ("1200", 0),
    "hellaswag": ("B", 4),
    "mmlu": ("D", 4),
}


@pytest.fixture
def prepared(tmp_path):
    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in FILES[name].items():
            (folder / file).write_text(content)
        return prepare(name, [folder], tmp_path / f"{name}-out")

    return make


@pytest.mark.parametrize("name", sorted(FILES))
def test_text_choices_and_target(prepared, name):
    first = next(questions(prepared(name)))
    assert (first.target, len(first.choices)) == EXPECTED[name]


def test_limit_clusters_and_examples(prepared):
    found = list(questions(prepared("mmlu"), limit=1))
    assert [(each.cluster, each.text) for each in found] == [("anatomy", "Where?"), ("law", "What?")]
    (arithmetic,) = questions(prepared("gsm8k"), few_shot=1)
    assert (arithmetic.examples, arithmetic.text) == ("1 + 1?\nEasy\nANSWER: 2\n\n", "600 + 600?")
    assert arithmetic.cluster == ""


def test_markup_is_removed_from_hellaswag(prepared):
    (first,) = questions(prepared("hellaswag"))
    assert "[" not in first.text + "".join(first.choices)
