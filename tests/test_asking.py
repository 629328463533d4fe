"""Questions to a server: several at once, answers in order, nothing lost when it is cut short."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from dataclasses import replace

import pytest
from swift_serve import held_out
from swift_serve.ask import ask
from swift_serve.messages import api_message, image_part
from swift_serve.options import AskOptions
from swift_testing.codes import coded
from swift_testing.scripted import ScriptedServer, events, reply
from swift_train.testing import run_training, training_run, write_rows

from swift_core.api import resolved
from swift_core.contract.errors import Stopped, SwiftError, UsageError
from swift_core.contract.roles import Server
from swift_core.contract.run import Run
from swift_core.runs.events import Report
from tests.waiting import HANG

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@pytest.fixture
def server():
    """Answers each question with itself, once it has had `server.required` at once, and question 0 after the others that are there."""
    with ScriptedServer() as server:
        server.now = server.most = 0
        server.required = 1
        changed = threading.Condition()

        def answer(handler):
            text = handler.asked["body"]["messages"][-1]["content"]
            with changed:
                server.now += 1
                server.most = max(server.most, server.now)
                changed.notify_all()
                assert changed.wait_for(lambda: server.most >= server.required and (text != "0" or server.now == 1), HANG)
                server.now -= 1
                changed.notify_all()
            if text == server.fails_at:
                reply(handler, 400, {"error": {"message": "too long"}})
            else:
                reply(handler, 200, events({"choices": [{"delta": {"content": f"<{text}>"}}]}))

        server.fails_at = None
        server.answer = answer
        yield server


@pytest.fixture
def questions(server, tmp_path):
    def questions(count=20, report=None, **options):
        given = {"questions": [str(number) for number in range(count)], **options}
        run = Run(verb="ask", job="", options=AskOptions.checked(given).model_dump(mode="json"), server=Server(server.url, ("m",)))
        return ask(run, report or Report(tmp_path, speaks=False))

    return questions


def answers(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_several_at_once_and_answers_in_order(server, questions):
    server.required = 4
    output, figures = questions(concurrency=4)
    assert [answer["answer"] for answer in answers(output)] == [f"<{number}>" for number in range(20)]
    assert figures == {"questions": 20}
    assert server.most == 4
    assert not output.with_name("answers.jsonl.partial").exists()


def test_a_failure_keeps_what_was_answered_and_a_resumed_run_asks_only_the_rest(server, questions, tmp_path):
    output = tmp_path / "a.jsonl"
    server.fails_at = "12"
    with pytest.raises(SwiftError, check=coded("SERVE-087"), match="too long") as caught:
        questions(output=str(output), concurrency=3)
    assert "12 of 20 answers are kept" in caught.value.hint
    assert "--resume" in caught.value.hint
    assert not output.exists()
    with (tmp_path / "a.jsonl.partial").open("a") as partial:
        partial.write('{"question": "12", "answ')  # as a kill in the middle of a line leaves it
    server.fails_at = None
    server.seen.clear()
    questions(output=str(output), concurrency=3, resume=True)
    assert sorted(int(request["body"]["messages"][-1]["content"]) for request in server.seen) == list(range(12, 20))
    assert [answer["answer"] for answer in answers(output)] == [f"<{number}>" for number in range(20)]


def test_answers_to_other_questions_are_not_gone_on_with(server, questions, tmp_path):
    output = tmp_path / "a.jsonl"
    server.fails_at = "3"
    with pytest.raises(SwiftError):
        questions(output=str(output))
    with pytest.raises(UsageError, check=coded("SERVE-064")):
        questions(output=str(output), resume=True, questions=["x", "y", "z", "w"])


def test_a_stop_keeps_what_was_answered(server, questions, tmp_path):
    report = Report(tmp_path, speaks=False)
    usual = server.answer

    def answer(handler):
        if handler.asked["body"]["messages"][-1]["content"] == "5":
            report.request_stop()
        usual(handler)

    server.answer = answer
    with pytest.raises(Stopped):
        questions(200, report, concurrency=1)
    assert len(answers(tmp_path / "answers.jsonl.partial")) == 5


def test_what_the_request_carries(server, questions, tmp_path):
    (tmp_path / "dot.png").write_bytes(PNG)
    server.answer = lambda handler: reply(handler, 200, events({"choices": [{"delta": {"content": "red"}}]}))
    output, _ = questions(1, images=[str(tmp_path / "dot.png")], stop=["."], extra={"top_k": 5}, system="Be brief.")
    body = server.seen[-1]["body"]
    assert (body["stop"], body["top_k"], body["messages"][0]["content"]) == (["."], 5, "Be brief.")
    image, text = body["messages"][1]["content"]
    assert base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,")) == PNG
    assert text == {"type": "text", "text": "0"}
    assert answers(output)[0]["question"] == "<image> 0"


def test_answers_are_compared_with_those_of_the_rows(server, tmp_path):
    """The last assistant message of a row; a row without one is not counted."""
    rows = [
        {"messages": [{"role": "user", "content": str(number)}, {"role": "assistant", "content": f" <{number if number else 'other'}>\n"}]}
        for number in range(3)
    ]
    file = write_rows(tmp_path / "rows.jsonl", [*rows, {"messages": [{"role": "user", "content": "3"}]}])
    run = resolved("ask", {"url": server.url, "name": "m", "dataset": [str(file)], "metric": "accuracy"})
    output, figures = ask(replace(run, server=Server(server.url, ("m",))), Report(tmp_path, speaks=False))
    assert figures == {"questions": 4, "accuracy": 2 / 3}
    assert [answer.get("expected") for answer in answers(output)][1:] == [" <1>\n", " <2>\n", None]


def test_questions_without_a_chat_template_are_completed(tmp_path):
    with ScriptedServer() as server:
        server.answer = lambda handler: reply(handler, 200, {"choices": [{"text": f"{handler.asked['body']['prompt']} a time"}]})
        given = {"questions": ["Once upon"], "use_chat_template": False, "max_tokens": 4}
        run = Run(verb="ask", job="", options=AskOptions.checked(given).model_dump(mode="json"), server=Server(server.url, ("m",)))
        output, _ = ask(run, Report(tmp_path, speaks=False))
        assert answers(output)[0]["answer"] == "Once upon a time"
        body = server.seen[-1]["body"]
        assert (body["prompt"], body["max_tokens"], "messages" in body) == ("Once upon", 4, False)


@pytest.mark.parametrize(("name", "content", "says"), [("no.png", None, "no file"), ("text.png", b"hello", "begins with")])
def test_pictures_that_are_none(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        image_part(str(tmp_path / name))


def test_calls_go_out_as_the_api_spells_them():
    call = {"type": "function", "function": {"name": "search", "arguments": {"q": "x"}}}
    message = {"role": "assistant", "content": "", "tool_calls": [call], "loss_scale": 0.5}
    assert api_message(message) == {
        "role": "assistant", "content": "",
        "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny_model, tmp_path_factory):
    """The folder of a training that held out some of its rows, and the rows."""
    folder = tmp_path_factory.mktemp("trained")
    rows = [{"messages": [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": "Yes."}]} for n in range(10)]
    run = training_run(tiny_model, write_rows(folder / "rows.jsonl", rows), validation_ratio=0.3, max_steps=1, system="Be brief.")
    run_training(run, folder / "run")
    (folder / "run/run.json").write_text(json.dumps(run.to_json()))
    return folder / "run"


def test_rows_that_a_training_held_out(trained, tmp_path, monkeypatch):
    """Those and no others, with the training's system prompt; wherever the checkpoint was written."""
    monkeypatch.chdir(tmp_path)
    drafts = [resolved("ask", {"adapter": str(trained / name), "held_out": True}) for name in ("output", "checkpoints/step-000001/model")]
    for run in drafts:
        assert run.options["system"] == "Be brief."
        asked = [f"{row.file}, row {row.number}" for row in held_out.rows(run)]
        assert asked == sorted(json.loads((trained / "held_out.json").read_text())["rows"])
        assert len(asked) == 3


@pytest.mark.parametrize(("asked", "code"), [
    ({"questions": ["Hi"]}, "SERVE-095"), ({"adapter": "org/adapter"}, "SERVE-096"), ({"adapter": "copy"}, "SERVE-097"),
])  # fmt: skip
def test_rows_that_are_not_known(trained, tmp_path, monkeypatch, asked, code):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "output", tmp_path / "copy")
    with pytest.raises(UsageError, check=coded(code)):
        resolved("ask", {"adapter": str(trained / "output"), "held_out": True, **asked})
