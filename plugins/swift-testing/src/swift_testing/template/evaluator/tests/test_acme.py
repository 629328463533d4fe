"""Scores against a fake engine with known answers."""

from __future__ import annotations

import pytest
from swift_plugin_acme.evaluator import Acme
from swift_plugin_acme.options import AcmeOptions
from swift_testing.evaluation import evaluation

from swift_core.contract import UsageError

ROWS = [{"question": "2 + 2?", "answer": "4"}, {"question": "Capital of France?", "answer": "Paris"}]


def test_correct_answers_are_counted_and_recorded(fake_engine, swift_project):
    swift_project.write({"quiz.jsonl": ROWS})
    task = str(swift_project.folder / "quiz.jsonl")
    fake_engine.answers = [lambda messages: "paris." if "France" in messages[-1]["content"] else "Four"]
    asked, items = evaluation(swift_project.folder / "out", task)
    Acme(AcmeOptions()).evaluate(fake_engine.as_server, asked)
    assert {item.output: item.scores["exact_match"] for item in items} == {"Four": 0.0, "paris.": 1.0}
    assert sorted(fake_engine.asked) == ["2 + 2?", "Capital of France?"]


def test_a_bad_row_is_named(fake_engine, swift_project):
    swift_project.write({"quiz.jsonl": [*ROWS, {"question": "?"}]})
    asked, _ = evaluation(swift_project.folder / "out", str(swift_project.folder / "quiz.jsonl"))
    with pytest.raises(UsageError) as caught:
        Acme(AcmeOptions()).evaluate(fake_engine.as_server, asked)
    assert caught.value.where.endswith("row 3")
