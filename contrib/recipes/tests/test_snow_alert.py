"""The snow alert: its files follow from its texts, every text passes its own screening, and an alert becomes five messages, each once."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from swift_evaluate.rows.files import read_rows
from swift_plugin_trigger.definition import read_definition
from swift_plugin_trigger.intake import InvalidEvent, checker
from swift_plugin_trigger.screening import faults
from swift_plugin_trigger.store import Store

from tests.here import swift_here
from tests.waiting import wait_for

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "contrib" / "recipes" / "snow-alert"
ALERT = json.loads((RECIPE / "alert.json").read_text())


def module_at(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts():
    return module_at(RECIPE / "texts.py", "texts")


@pytest.fixture
def scripts(texts, monkeypatch):
    """The scripts that write the files, as modules."""
    monkeypatch.setitem(sys.modules, "texts", texts)
    return module_at(RECIPE / "make_data.py", "make_data"), module_at(RECIPE / "make_trigger.py", "make_trigger")


def test_the_files_are_those_that_the_scripts_write(scripts):
    import yaml

    data, trigger = scripts
    assert (RECIPE / "data" / "warnings.jsonl").read_text() == data.lines(data.training())
    assert (RECIPE / "eval" / "messages.jsonl").read_text() == data.lines(data.evaluation())
    assert yaml.safe_load((RECIPE / "trigger.yaml").read_text()) == trigger.definition()


def test_every_text_passes_the_screening_and_the_prompt_is_that_of_the_training(scripts, texts):
    data, _ = scripts
    definition = read_definition(RECIPE / "trigger.yaml")
    check = checker(definition.event.schema_)
    for number, alert in enumerate([ALERT, *data.alerts(12, texts.AREAS, seed=3)]):
        event = {"identifier": f"a{number}", **alert}
        check(event)
        for variant in definition.variants:
            values = {**event, **variant, "event": event, "variant": variant}
            text = texts.warning(alert, variant["id"])
            assert not faults(text, definition.screen, values), text
            assert definition.answer.fallback.render(values) == text
            assert definition.answer.prompt.render(values) == texts.prompt(alert, variant["id"])


@pytest.mark.parametrize(
    "changed",
    [
        ("42", "24"), ("18:00", "19:00"), ("Yichun", "Harbin"), ("Red", "Yellow"), ("Do not drive", "Do drive"),
        ("Check on elderly neighbours.", "See https://example.org."), ("Check on elderly neighbours.", "请关照身边的老人。"),
    ],
)  # fmt: skip
def test_a_text_with_a_wrong_fact_does_not_pass(texts, changed):
    definition = read_definition(RECIPE / "trigger.yaml")
    (english,) = [variant for variant in definition.variants if variant["id"] == "en"]
    text = texts.warning(ALERT, "en").replace(*changed)
    assert text != texts.warning(ALERT, "en")
    assert faults(text, definition.screen, {**ALERT, **english, "event": ALERT, "variant": english})


@pytest.mark.parametrize(
    "change", [{"snow_cm": -1}, {"level": "pink"}, {"begins": "25:00"}, {"more": 1}, {"advice": []}, {"area": "Yichun"}]
)
def test_a_wrong_alert_is_refused(change):
    with pytest.raises(InvalidEvent):
        checker(read_definition(RECIPE / "trigger.yaml").event.schema_)({**ALERT, **change})


def test_the_evaluation_has_other_areas_than_the_training_and_valid_rows():
    trained = (RECIPE / "data" / "warnings.jsonl").read_text()
    rows = read_rows(RECIPE / "eval" / "messages.jsonl")
    assert not [row for row in rows if re.search(r"Area: ([^.]+)\.", row.data["question"])[1] in trained]
    for name in ("knowledge_val.csv", "inference.jsonl"):
        found = read_rows(RECIPE / "eval" / name)
        assert len(found) == 24
        assert all(row.data["answer"] in "ABCD" and row.data[row.data["answer"]] for row in found)


class Command:
    """A command of `swift` as a process group, which can be killed as a whole."""

    def __init__(self, folder, *words):
        self.log = folder / f"{words[0]}.log"
        self.words, self.folder = words, folder

    def __enter__(self):
        with self.log.open("a") as log:
            command = [sys.executable, "-P", "-m", "swift_core.cli", *self.words]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        return self

    def said(self, pattern):
        """Wait for a line of the log."""
        return wait_for(lambda: re.findall(pattern, self.log.read_text()) or self.check())[-1]

    def check(self):
        """It has not ended."""
        assert self.process.poll() is None, self.log.read_text()

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __exit__(self, *_):
        self.kill()


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_from_a_posted_alert_to_the_received_messages(tmp_path, tiny_model, monkeypatch):
    """With the server killed while it answers, the trigger killed while it delivers, and an audit log that must have everything."""
    receiver_module = module_at(ROOT / "plugins" / "swift-plugin-trigger" / "tests" / "receiver.py", "snow_alert_receiver")
    for name in ("log", "heads", "key"):
        monkeypatch.setenv(f"SWIFT_AUDIT_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SWIFT_AUDIT", "required")
    shutil.copytree(RECIPE, tmp_path / "alert")
    folder, port = tmp_path / "alert", free_port()
    serve = Command(folder, "serve", str(tiny_model), "--port", str(port))
    words = ("--definition", "trigger.yaml", "--url", f"http://127.0.0.1:{port}/v1", "--port", "0")
    with receiver_module.Receiver(script=[503, "dies"]) as receiver:
        trigger = Command(folder, "trigger", str(tiny_model), *words, "--deliver-to", receiver.url)
        with trigger, serve:
            wait_for(lambda: ready(port) or serve.check())
            assert httpx2.post(trigger.said(r"events: (\S+)"), json=ALERT).status_code == 202
            wait_for(lambda: states(folder)["written"])
            serve.kill()
            assert not receiver.seen, "nothing is sent before the whole event is recorded"
            with serve:
                wait_for(lambda: receiver.seen)
                trigger.kill()
                with trigger:
                    wait_for(lambda: states(folder)["delivered"] == 5)
    assert sorted(receiver.kept) == [f"{ALERT['identifier']}/{code}" for code in ("en", "es", "fr", "ja", "zh")]
    assert len({body["text"] for body in receiver.kept.values()}) == 5
    assert all("42" in body["text"] for body in receiver.kept.values())
    code, out, err = swift_here(folder, "trigger", "trace", f"{ALERT['identifier']}/zh", "--json")
    assert code == 0, err
    record = json.loads(out)["records"]
    code, out, _ = swift_here(folder, "audit", "trace", record, "--json")
    found = json.loads(out)
    assert (code, found["verb"], found["problem"]) == (0, "trigger", "")
    assert [base["name"] for base in found["base"]] == [f"file:{tiny_model}"]
    assert swift_here(folder, "audit", "verify")[0] == 0


def ready(port):
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx2.TransportError:
        return False


def states(folder):
    """How many messages have got how far."""
    if not (folder / "trigger" / "trigger.db").exists():
        return {"written": 0, "delivered": 0}
    store = Store(folder / "trigger")
    found = [message.state for message in store.all_messages()]
    store.close()
    return {"written": len(found) - found.count("wanted"), "delivered": found.count("delivered")}
