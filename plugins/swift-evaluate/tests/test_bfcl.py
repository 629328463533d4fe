"""BFCL's files, prepared for `own-data`: questions with functions, joined with the calls that are right."""

from __future__ import annotations

import json

import pytest
from swift_evaluate.prepare import prepare
from swift_testing.fake_engine import FakeEngine
from swift_testing.scripted import Request, reply

from swift_core.contract import UsageError

FUNCTION = {
    "name": "math.area",
    "description": "Area of a triangle.",
    "parameters": {
        "type": "dict",
        "properties": {"base": {"type": "float"}, "sides": {"type": "tuple", "items": {"type": "any"}}},
        "required": ["base"],
    },
}
QUESTION = {"id": "simple_0", "question": [[{"role": "user", "content": "The area?"}]], "function": [FUNCTION]}
ANSWER = {"id": "simple_0", "ground_truth": [{"math.area": {"base": [10, 10.0], "sides": ["", [1, 2]]}}]}
NONE = {"id": "irrelevance_0", "question": [[{"role": "user", "content": "The weather?"}]], "function": [FUNCTION]}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "bfcl" / "possible_answer").mkdir(parents=True)
    for name, row in (("BFCL_v3_simple", QUESTION), ("possible_answer/BFCL_v3_simple", ANSWER), ("BFCL_v3_irrelevance", NONE)):
        (tmp_path / "bfcl" / f"{name}.json").write_text(json.dumps(row) + "\n")
    return tmp_path / "bfcl"


def test_questions_are_joined_with_their_answers(files, tmp_path):
    found = prepare("bfcl", [files], tmp_path / "out")
    assert dict(found.counts) == {"simple/test": 1, "irrelevance/test": 1}
    (row,) = found.rows("simple")
    assert row["tools"][0]["function"]["name"] == "math_area"
    properties = row["tools"][0]["function"]["parameters"]["properties"]
    assert properties == {"base": {"type": "number"}, "sides": {"type": "array", "items": {}}}
    assert row["tool_calls"] == [{"name": "math_area", "accepted": {"base": [10, 10.0], "sides": ["", [1, 2]]}}]
    assert found.rows("irrelevance")[0]["tool_calls"] == []


def test_files_that_do_not_fit_are_refused(files, tmp_path):
    several = {**QUESTION, "question": [QUESTION["question"][0]] * 2}
    for name, row, said in (
        ("BFCL_v3_simple", {**QUESTION, "id": "simple_1"}, "no possible answer"),
        ("BFCL_v3_simple", several, "one turn"),
        ("possible_answer/BFCL_v3_simple", {**ANSWER, "ground_truth": ["area(10)"]}, "ground_truth"),
    ):
        before = (files / f"{name}.json").read_text()
        (files / f"{name}.json").write_text(json.dumps(row) + "\n")
        with pytest.raises(UsageError, match=said):
            prepare("bfcl", [files], tmp_path / "out")
        (files / f"{name}.json").write_text(before)


def test_calls_are_scored(swift_project, files):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    swift_project.run("eval", "prepare", "bfcl", "--from", str(files)).assert_success()
    call = {"id": "c", "type": "function", "function": {"name": "math_area", "arguments": '{"base": 10}'}}
    with FakeEngine() as engine:
        plain = engine.answer

        def answer(handler: Request) -> None:
            if handler.asked["path"].endswith("/chat/completions"):
                message = {"role": "assistant", "content": None, "tool_calls": [call]}
                reply(handler, 200, {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})
            else:
                plain(handler)

        engine.answer = answer
        swift_project.run("eval", engine.url, "--evaluator", "own-data", "--tasks", "eval-data/bfcl").assert_success()
        asked = [request["body"] for request in engine.seen if request["path"].endswith("/chat/completions")]
    assert all(body["tools"][0]["function"]["name"] == "math_area" for body in asked)
    (folder,) = swift_project.folder.glob("runs/*")
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert {item["id"]: item["scores"]["tool_call"] for item in items} == {"simple/simple_0": 1.0, "irrelevance/irrelevance_0": 0.0}
