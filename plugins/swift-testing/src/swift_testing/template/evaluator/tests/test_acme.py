"""Scores against a fake engine with known answers."""

from __future__ import annotations

import pytest
from swift_plugin_acme.evaluator import Acme
from swift_plugin_acme.options import AcmeOptions

from swift_core.contract import UsageError

ROWS = [{"question": "2 + 2?", "answer": "4"}, {"question": "Capital of France?", "answer": "Paris"}]


def test_correct_answers_are_counted_and_saved(fake_engine, swift_project):
    swift_project.write({"quiz.jsonl": ROWS})
    task = str(swift_project.folder / "quiz.jsonl")
    fake_engine.answers = ["Four", "paris."]
    scores = Acme(AcmeOptions()).evaluate(fake_engine.as_server, [task], swift_project.folder / "out")
    assert scores.values == {task: {"exact_match": 0.5, "questions": 2.0}}
    assert fake_engine.asked == ["2 + 2?", "Capital of France?"]
    assert '"given": "paris."' in (swift_project.folder / "out" / "quiz.jsonl").read_text()


def test_a_bad_row_is_named(fake_engine, swift_project):
    swift_project.write({"quiz.jsonl": [*ROWS, {"question": "?"}]})
    with pytest.raises(UsageError) as caught:
        Acme(AcmeOptions()).evaluate(fake_engine.as_server, [str(swift_project.folder / "quiz.jsonl")], swift_project.folder / "out")
    assert caught.value.where.endswith("row 3")
