"""Questions to a scripted server with known answers: scores come out exactly, also when the server fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from swift_evaluate import Answer, Question, ask_all
from swift_evaluate.records import Journal, read_items
from swift_evaluate.roles import Evaluation, Scores
from swift_evaluate.scores import summary
from swift_testing.evaluation import evaluation
from swift_testing.fake_engine import FakeEngine
from swift_testing.scripted import Request, ScriptedServer, reply

from swift_core.contract import Server, SwiftError, UsageError
from swift_core.runs import Report


class Scripted(ScriptedServer):
    """Answers a question with what `script` says: a text, an HTTP status, or `(text, finish_reason)`."""

    def __init__(self, script) -> None:
        super().__init__()
        self.script = script
        self.answer = self._answer

    def _answer(self, handler: Request) -> None:
        said = self.script(handler.asked["body"])
        if isinstance(said, int):
            reply(handler, said, {"error": {"message": "no"}})
            return
        text, reason = said if isinstance(said, tuple) else (said, "stop")
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
        reply(handler, 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

    @property
    def as_server(self) -> Server:
        return Server(self.url, ("m",))


def question(number: int, **fields) -> Question:
    return Question(task="numbers", id=str(number), messages=[{"role": "user", "content": str(number)}], expected=str(number), **fields)


def exact(question: Question, answer: Answer) -> dict[str, float]:
    return {"exact": float(answer.text == question.expected)}


def said(body) -> str:
    return body["messages"][-1]["content"]


def test_scores_are_those_of_the_answers(tmp_path):
    asked, items = evaluation(tmp_path)
    with Scripted(lambda body: said(body) if int(said(body)) % 4 else "wrong") as engine:
        ask_all(engine.as_server, map(question, range(20)), asked, exact)
    record = summary(items, Scores())
    assert record["scores"]["numbers"]["exact"]["value"] == 0.75
    assert record["counts"]["numbers"] | {"hash": ""} == {"items": 20, "samples": 20, "failed": 0, "truncated": 0, "hash": ""}
    assert {item.prompt for item in items} == {question(number).prompt for number in range(20)}
    assert {request["body"]["temperature"] for request in engine.seen} == {0.0}


def test_samples_of_a_question_are_averaged_first(tmp_path):
    asked, items = evaluation(tmp_path, samples=4, temperature=0.7, seed=10)
    with Scripted(lambda body: "1" if body["seed"] % 4 == 2 else "2") as engine:
        ask_all(engine.as_server, map(question, (1, 2)), asked, exact)
    assert {request["body"]["seed"] for request in engine.seen} == {10, 11, 12, 13}
    score = summary(items, Scores())["scores"]["numbers"]["exact"]
    assert (score["value"], score["n"]) == (0.5, 2)  # 1 of 4 and 3 of 4


def test_a_question_without_an_answer_is_failed_and_not_wrong(tmp_path):
    tries: dict[str, int] = {}

    def script(body):
        text = said(body)
        tries[text] = tries.get(text, 0) + 1
        if text == "3":
            return 400
        return 500 if text == "5" or (text == "7" and tries[text] < 3) else text

    asked, items = evaluation(tmp_path)
    with Scripted(script) as engine:
        ask_all(engine.as_server, map(question, range(10)), asked, exact, pause=0.001)
    assert {item.id for item in items if item.status == "failed"} == {"3", "5"}
    assert not any(item.scores for item in items if item.status == "failed")
    assert (tries["3"], tries["5"], tries["7"]) == (1, 4, 3)
    record = summary(items, Scores())
    assert (record["scores"]["numbers"]["exact"]["value"], record["scores"]["numbers"]["exact"]["n"]) == (1.0, 8)
    assert record["counts"]["numbers"]["failed"] == 2


def test_truncated_answers_are_counted(tmp_path):
    asked, items = evaluation(tmp_path, max_tokens=1)
    with Scripted(lambda body: (said(body), "length" if said(body) == "2" else "stop")) as engine:
        ask_all(engine.as_server, map(question, range(4)), asked, exact)
    assert summary(items, Scores())["counts"]["numbers"]["truncated"] == 1
    assert {request["body"]["max_tokens"] for request in engine.seen} == {1}


def test_a_server_that_gives_no_answers_any_more_ends_the_evaluation(tmp_path):
    asked, items = evaluation(tmp_path, concurrency=1)
    with Scripted(lambda body: said(body) if int(said(body)) < 30 else 500) as engine, pytest.raises(SwiftError, match="failed"):
        ask_all(engine.as_server, map(question, range(1000)), asked, exact, pause=0.001)
    assert sum(item.status == "ok" for item in items) == 30
    assert len(items) < 50
    with pytest.raises(SwiftError):  # it is gone: also if there are few questions
        ask_all(engine.as_server, [question(1)], evaluation(tmp_path)[0], exact, pause=0.001)


def test_ids_must_be_unique(tmp_path):
    with pytest.raises(UsageError, match="'1'"):
        ask_all(Server("http://127.0.0.1:1/v1", ("m",)), [question(1), question(1)], evaluation(tmp_path)[0], exact)


def journal_of(folder: Path, earlier=()) -> tuple[Journal, Evaluation]:
    folder.mkdir()
    journal = Journal(Report(folder), earlier)
    return journal, Evaluation(folder=folder, record=journal.record, expect=journal.expect, recorded=journal.recorded)


def test_what_was_answered_is_not_asked_again(tmp_path):
    with Scripted(lambda body: said(body) if int(said(body)) != 3 else 400) as engine:
        journal, asked = journal_of(tmp_path / "first")
        with journal:
            ask_all(engine.as_server, map(question, range(6)), asked, exact)
    path = tmp_path / "first" / "items.jsonl"
    with path.open("a") as file:
        file.write('{"task": "numbers", "id": "9", "sco')  # a line that a kill has cut
    with FakeEngine(lambda messages: messages[-1]["content"]) as engine:
        journal, asked = journal_of(tmp_path / "second", read_items(tmp_path / "first"))
        with journal:
            ask_all(engine.as_server, map(question, range(10)), asked, exact)
        assert sorted(engine.asked) == ["3", "6", "7", "8", "9"]  # the failed one too
    items = read_items(tmp_path / "second")
    assert sorted(item.id for item in items) == [str(number) for number in range(10)]
    assert all(item.scores == {"exact": 1.0} for item in items)


def test_an_item_is_recorded_once(tmp_path):
    journal, _ = journal_of(tmp_path / "run")
    item = evaluation(tmp_path)[1]
    with Scripted(said) as engine:
        asked, item = evaluation(tmp_path)
        ask_all(engine.as_server, [question(1)], asked, exact)
    with journal, pytest.raises(SwiftError, match="twice"):
        journal.record(item[0])
        journal.record(item[0])
