"""From an event to delivered messages, with servers and processes killed in between: each message exactly once."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
import yaml
from swift_plugin_trigger.store import Store
from swift_testing.scripted import ScriptedServer, reply

from swift_core.cli import invoke
from swift_core.contract import SwiftError

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("swift_trigger_receiver", HERE / "receiver.py")
receiver_module = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(receiver_module)
Receiver = receiver_module.Receiver

VARIANTS = [{"id": code, "language": name} for code, name in [("en", "English"), ("zh", "Chinese"), ("fr", "French")]]
DEFINITION = {
    "event": {"schema": {"type": "object", "required": ["id", "cm"]}, "id": "{{ event.id }}"},
    "http": {"port": 0},
    "variants": VARIANTS,
    "answer": {"prompt": "{{ cm }} cm in {{ language }}, event {{ event.id }}", "attempts": 2},
    "screen": [{"rule": "numbers"}, {"rule": "length", "min": 5}],
}


class Model(ScriptedServer):
    """Answers with the prompt, or what `said` gives for it; `down` breaks every connection."""

    def __init__(self):
        super().__init__()
        self.down, self.said, self.pause = False, lambda prompt, asked: f"Snow: {prompt}", 0.0
        self.prompts = []
        self.answer = self._reply

    def _reply(self, handler):
        if self.down:
            handler.close_connection = True
            return
        if handler.asked["path"].endswith("/models"):
            reply(handler, 200, {"data": [{"id": "known"}]})
            return
        body = handler.asked["body"]
        prompt = body["messages"][-1]["content"]
        self.prompts.append((prompt, body["seed"], body["temperature"]))
        time.sleep(self.pause)
        text = self.said(prompt, body)
        reply(handler, 200, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})


class Process:
    """`swift trigger` as a process, in a folder."""

    def __init__(self, folder, *words):
        self.folder, self.words = folder, words
        self.start()

    def start(self):
        command = [sys.executable, "-P", "-m", "swift_core.cli", "trigger", "--definition", "trigger.yaml", *self.words]
        with (self.folder / "log.txt").open("a") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=log, stdout=log)
        return self

    def url(self):
        """The address for events, of the last start."""
        end = time.time() + 120
        while time.time() < end:
            starts = (self.folder / "log.txt").read_text().count("events: ")
            found = re.findall(r"events: (http\S+)", (self.folder / "log.txt").read_text())
            if starts > self.starts:
                self.starts = starts
                return found[-1]
            assert self.process.poll() is None, (self.folder / "log.txt").read_text()
            time.sleep(0.05)
        raise AssertionError((self.folder / "log.txt").read_text())

    starts = 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, (self.folder / "log.txt").read_text()


def write(folder, **changes):
    (folder / "trigger.yaml").write_text(yaml.safe_dump({**DEFINITION, **changes}))
    return folder


def wait_for(done, seconds=120):
    end = time.time() + seconds
    while not (found := done()):
        assert time.time() < end
        time.sleep(0.05)
    return found


def once(folder, model, *events, **changes):
    """Answer events in this process, and return the exit code."""
    write(folder, **changes)
    files = []
    for event in events:
        files.append(f"{event['id']}.json")
        (folder / files[-1]).write_text(json.dumps(event))
    before = Path.cwd()
    os.chdir(folder)
    try:
        return invoke(["trigger", "--definition", "trigger.yaml", "--url", model.url, "--events", *files])
    finally:
        os.chdir(before)


def states(folder):
    store = Store(folder / "trigger")
    found = {message.id: message for message in store.all_messages()}
    store.close()
    return found


def test_each_message_arrives_exactly_once_whatever_is_killed(tmp_path):
    """The trigger is killed while it writes and while it delivers, the model breaks off, the receiver takes a message and dies."""
    with Model() as model, Receiver(script=[503, "dies", 500]) as receiver:
        model.pause = 0.15
        write(tmp_path, deliver={"url": receiver.url})
        trigger = Process(tmp_path, "--url", model.url)
        try:
            url = trigger.url()
            assert httpx2.post(url, json={"id": "a1", "cm": 35}).status_code == 202
            wait_for(lambda: model.prompts)
            trigger.kill()  # in an answer
            model.down = True
            url = trigger.start().url()
            assert httpx2.post(url, json={"id": "a1", "cm": 35}).status_code == 200, "the sender tries again, as it should"
            assert httpx2.post(url, json={"id": "a2", "cm": 12}).status_code == 202
            wait_for(lambda: "will be retried" in (tmp_path / "log.txt").read_text())
            model.down = False
            wait_for(lambda: receiver.seen)
            trigger.kill()  # in the deliveries
            trigger.start().url()
            wait_for(lambda: len(receiver.kept) == 6)
            wait_for(lambda: all(message.state == "delivered" for message in states(tmp_path).values()))
        finally:
            trigger.end()
    assert sorted(receiver.kept) == [f"{event}/{code}" for event in ("a1", "a2") for code in ("en", "fr", "zh")]
    assert receiver.kept["a2/fr"]["text"] == "Snow: 12 cm in French, event a2"
    assert len(receiver.seen) > 6, "some were sent again"
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
    records = [json.loads(line) for file in tmp_path.glob("runs/*/messages.jsonl") for line in file.read_text().splitlines()]
    assert {record["id"]: record["text"] for record in records} == {key: body["text"] for key, body in receiver.kept.items()}


def test_two_processes_do_not_share_a_store(tmp_path, capsys):
    with Model() as model:
        write(tmp_path)
        trigger = Process(tmp_path, "--url", model.url)
        try:
            trigger.url()
            assert once(tmp_path, model, {"id": "a1", "cm": 1}) == 2
            assert "another process" in capsys.readouterr().err
        finally:
            trigger.end()


def test_given_events_are_answered_and_the_command_ends(tmp_path):
    with Model() as model, Receiver() as receiver:
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, {"id": "a2", "cm": 1}, deliver={"url": receiver.url}) == 0
        assert len(receiver.kept) == 6
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, deliver={"url": receiver.url}) == 0
        assert len(receiver.seen) == 6, "an event that is known is not answered again"


def test_answers_that_do_not_pass_are_asked_again_with_another_seed_and_replaced(tmp_path):
    with Model() as model, Receiver() as receiver:
        model.said = lambda prompt, body: "99 cm!" if "Chinese" in prompt or body["temperature"] == 0 else "35 cm of snow"
        fallback = {**DEFINITION["answer"], "fallback": "Snow, {{ cm }} cm."}
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, answer=fallback, deliver={"url": receiver.url}) == 0
    kept = {key: (body["text"], body["by"]) for key, body in receiver.kept.items()}
    assert kept == {"a1/en": ("35 cm of snow", "model"), "a1/zh": ("Snow, 35 cm.", "fallback"), "a1/fr": ("35 cm of snow", "model")}
    english = [each for each in model.prompts if "English" in each[0]]
    assert len({seed for _, seed, _ in english}) == 2
    assert [temperature for _, _, temperature in english] == [0.0, 0.7]
    rejected = states(tmp_path)["a1/zh"].record["rejected"]
    assert [each["reasons"] for each in rejected] == [["numbers: 99 not in the event"]] * 2


def test_without_a_fallback_an_event_is_dead_and_can_be_tried_again(tmp_path, capsys):
    with Model() as model, Receiver() as receiver:
        model.said = lambda prompt, body: "99 cm!"
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, deliver={"url": receiver.url}) == 1
        assert "SWIFT-TRIGGER-" in capsys.readouterr().err
        (letter,) = [json.loads(line) for line in (tmp_path / "trigger" / "dead-letters.jsonl").read_text().splitlines()]
        assert (letter["kind"], letter["id"], letter["event"]) == ("event", "a1", {"id": "a1", "cm": 35})
        assert not receiver.seen
        assert invoke(["trigger", "show", "--store", str(tmp_path / "trigger"), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert {(row["state"], "99 not in the event" in row["note"]) for row in shown} == {("dead", True)}
        model.said = lambda prompt, body: "35 cm of snow"
        assert invoke(["trigger", "retry", "--store", str(tmp_path / "trigger")]) == 0
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, deliver={"url": receiver.url}) == 0
        assert len(receiver.kept) == 3
        assert invoke(["trigger", "retry", "--store", str(tmp_path / "trigger"), "a1/en"]) == 2


def test_if_the_model_is_silent_the_fallback_goes_out_in_time(tmp_path):
    with Model() as model, Receiver() as receiver:
        model.down = True
        answer = {**DEFINITION["answer"], "fallback": "Snow, {{ cm }} cm.", "patience": 0.01}
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, answer=answer, deliver={"url": receiver.url}) == 0
    assert {body["by"] for body in receiver.kept.values()} == {"fallback"}


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for(tmp_path):
    with Model() as model, Receiver() as receiver:
        model.pause = 8.0
        answer = {**DEFINITION["answer"], "fallback": "Snow, {{ cm }} cm.", "patience": 1.0}
        begun = time.monotonic()
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, answer=answer, deliver={"url": receiver.url}) == 0
        assert time.monotonic() - begun < 8
    assert {body["by"] for body in receiver.kept.values()} == {"fallback"}


def test_a_server_that_refuses_the_request_is_replaced_by_the_fallback_at_once(tmp_path):
    with Model() as model, Receiver() as receiver:
        model.answer = lambda handler: reply(handler, 401, {"error": {"message": "wrong key"}})
        answer = {**DEFINITION["answer"], "fallback": "Snow, {{ cm }} cm."}
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, answer=answer, deliver={"url": receiver.url}) == 0
        assert {body["by"] for body in receiver.kept.values()} == {"fallback"}
        assert once(tmp_path, model, {"id": "a2", "cm": 35}, deliver={"url": receiver.url}) == 1, "without a fallback the event is dead"


def test_a_receiver_that_refuses_ends_in_the_dead_letter_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    with Model() as model, Receiver(script=[422]) as receiver:
        deliver = {"url": receiver.url, "secret_env": "SECRET"}
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, deliver=deliver) == 1
        (letter,) = [json.loads(line) for line in (tmp_path / "trigger" / "dead-letters.jsonl").read_text().splitlines()]
        assert (letter["kind"], letter["id"]) == ("message", "a1/en")
        assert "HTTP 422" in letter["reason"]
        assert len(receiver.kept) == 2, "the others arrive"
        _, body, headers = receiver.seen[-1]
        expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        assert {name.lower(): value for name, value in headers.items()}["x-swift-signature"] == f"sha256={expected}"
        assert invoke(["trigger", "retry", "--store", str(tmp_path / "trigger"), "a1/en"]) == 0
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, deliver=deliver) == 0
        assert len(receiver.kept) == 3


def test_a_message_is_traced_to_the_checkpoint_and_a_changed_text_is_noticed(tmp_path, tiny_model, capsys):
    with Model() as model, Receiver() as receiver:
        write(tmp_path, deliver={"url": receiver.url})
        (tmp_path / "a1.json").write_text('{"id": "a1", "cm": 35}')
        place = ["--store", str(tmp_path / "trigger"), "--runs", str(tmp_path / "runs")]
        words = ["--definition", str(tmp_path / "trigger.yaml"), "--url", model.url, "--events", str(tmp_path / "a1.json")]
        assert invoke(["trigger", str(tiny_model), *words, *place]) == 0
    capsys.readouterr()
    assert invoke(["trigger", "trace", "a1/en", "--json", *place]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["message"]["prompt"][-1]["content"] == "35 cm in English, event a1"
    assert found["event"]["content"] == {"id": "a1", "cm": 35}
    assert found["made_from"][0]["checkpoint"] == f"file:{tiny_model}"
    assert len(found["made_from"][0]["sha256"]) == 64
    report = (Path(found["run"]) / "report.html").read_text()
    assert "35 cm in English" in report
    file = Path(found["records"])
    file.write_text(file.read_text().replace("35 cm in English", "53 cm in English", 1).replace("Snow: 35 cm", "Snow: 53 cm"))
    assert invoke(["trigger", "trace", "a1/en", *place]) == 1
    assert "has another text" in capsys.readouterr().out
    assert invoke(["trigger", "trace", "none", *place]) == 2


def test_nothing_is_sent_that_is_not_recorded(tmp_path, monkeypatch):
    from swift_plugin_trigger import service

    calls, real = [], service.record

    def refusing(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise SwiftError("the audit log can't be written", code="AUDIT-007")
        assert not receiver.seen
        return real(*arguments)

    monkeypatch.setattr(service, "record", refusing)
    monkeypatch.setattr(service, "pause", lambda tries: 0.05)
    with Model() as model, Receiver() as receiver:
        assert once(tmp_path, model, {"id": "a1", "cm": 35}, deliver={"url": receiver.url}) == 0
    assert len(calls) == 2
    assert len(receiver.kept) == 3
    assert len(model.prompts) == 3, "the texts stay as they were"


@pytest.mark.parametrize("word", ["show", "trace"])
def test_there_is_no_state_yet(tmp_path, capsys, word):
    assert invoke(["trigger", word, *(["a/b"] if word == "trace" else []), "--store", str(tmp_path)]) == 2
    assert "TRIGGER-004" in capsys.readouterr().err
