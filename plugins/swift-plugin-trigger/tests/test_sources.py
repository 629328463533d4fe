"""Events by HTTP, by file and by schedule: what is accepted, and that it is accepted once."""

from __future__ import annotations

import json
from threading import Event as Signal

import pytest
from starlette.testclient import TestClient
from swift_plugin_trigger.definition import Definition, FileSource, HttpSource, Schedule, read_definition
from swift_plugin_trigger.intake import Intake
from swift_plugin_trigger.sources.files import take_files
from swift_plugin_trigger.sources.http import create_app
from swift_plugin_trigger.sources.schedule import due, take_tick
from swift_plugin_trigger.store import Store

from swift_core.contract import UsageError

SCHEMA = {"type": "object", "required": ["id", "cm"], "properties": {"cm": {"type": "number", "minimum": 0}}}
VALUES = {"event": {"schema": SCHEMA, "id": "{{ event.id }}"}, "variants": [{"id": "en"}, {"id": "zh"}], "answer": {"prompt": "{{ cm }}"}}
EVENT = {"id": "a1", "cm": 35}


@pytest.fixture
def intake(tmp_path):
    return Intake.of(Definition.model_validate(VALUES), Store(tmp_path / "store"), Signal())


def client_of(intake, **source):
    return TestClient(create_app(HttpSource(**source), intake), base_url="http://127.0.0.1:8080")


def test_an_event_by_http_is_taken_once(intake):
    client = client_of(intake)
    answer = client.post("/events", json=EVENT)
    assert (answer.status_code, answer.json()["messages"]) == (202, {"a1/en": "wanted", "a1/zh": "wanted"})
    assert client.post("/events", json=EVENT).status_code == 200
    assert client.post("/events", json={**EVENT, "cm": 36}).status_code == 409
    assert len(intake.store.all_messages()) == 2
    assert client.get("/events/a1").json()["state"] == "waiting"
    assert client.get("/events/none").status_code == 404
    assert client.get("/health").json() == {"status": "ok", "open": 2}


@pytest.mark.parametrize(
    ("body", "status"),
    [({"id": "a1"}, 422), ({"id": "a1", "cm": -1}, 422), ({"id": "../x", "cm": 1}, 422), ([], 422), ("x", 422), ({"cm": 1}, 422)],
)
def test_what_is_no_event_is_refused(intake, body, status):
    answer = client_of(intake).post("/events", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert not intake.store.all_messages()


def test_the_door_of_the_http_source(intake, monkeypatch):
    assert client_of(intake).post("/events", content=b"{").status_code == 400
    assert client_of(intake, max_bytes=10).post("/events", json=EVENT).status_code == 413
    assert client_of(intake).post("/events", json=EVENT, headers={"host": "evil.example"}).status_code == 403
    monkeypatch.setenv("ALERTS", "secret")
    closed = client_of(intake, token_env="ALERTS")
    assert closed.post("/events", json=EVENT).status_code == 401
    assert closed.get("/events/a1").status_code == 401
    assert closed.post("/events", json=EVENT, headers={"authorization": "Bearer secret"}).status_code == 202
    assert closed.get("/health").status_code == 200
    monkeypatch.delenv("ALERTS")
    with pytest.raises(UsageError, match="ALERTS is not set"):
        client_of(intake, token_env="ALERTS")


def test_the_key_of_a_request_is_an_id_if_the_definition_has_none(tmp_path):
    definition = Definition.model_validate({**VALUES, "event": {}})
    client = client_of(Intake.of(definition, Store(tmp_path), Signal()))
    assert client.post("/events", json=EVENT, headers={"idempotency-key": "k1"}).json()["id"] == "k1"
    assert client.post("/events", json=EVENT).json()["id"] != "k1"


def test_files_are_taken_and_moved(intake, tmp_path):
    source = FileSource(folder=tmp_path / "inbox")
    assert take_files(source, intake) == 0
    (source.folder / "a.json").write_text(json.dumps(EVENT))
    (source.folder / "same.json").write_text(json.dumps(EVENT))
    (source.folder / "broken.json").write_text("{")
    (source.folder / "wrong.json").write_text(json.dumps({"id": "a2"}))
    (source.folder / "other.json").write_text(json.dumps({**EVENT, "cm": 1}))
    assert take_files(source, intake) == 5
    assert len(intake.store.all_messages()) == 2
    assert sorted(path.name for path in (source.folder / "done").iterdir()) == ["a.json", "same.json"]
    assert sorted(path.name for path in (source.folder / "rejected").iterdir()) == ["broken.json", "other.json", "wrong.json"]
    letters = [json.loads(line) for line in (intake.store.folder / "dead-letters.jsonl").read_text().splitlines()]
    assert {letter["id"] for letter in letters} == {"broken.json", "wrong.json", "other.json"}
    assert take_files(source, intake) == 0


def test_the_instants_of_a_schedule():
    assert due(Schedule(every=60), 100, 119) is None
    assert due(Schedule(every=60), 100, 121) == 120
    assert due(Schedule(every=60), 100, 1000) == 960, "what was missed is made up for once"
    six = Schedule(cron="0 6 * * *")
    assert due(six, 0, 6 * 3600 - 1) is None
    assert due(six, 0, 6 * 3600) == 6 * 3600
    assert due(six, 6 * 3600, 7 * 3600) is None


def test_an_instant_is_one_event(tmp_path):
    definition = Definition.model_validate({"answer": {"prompt": "x"}, "schedule": {"every": 1000, "event": {"cm": 1}}})
    intake = Intake.of(definition, Store(tmp_path), Signal())
    take_tick(definition.schedule, intake, 0)
    take_tick(definition.schedule, intake, 0)
    (message,) = intake.store.all_messages()
    assert intake.store.event(message.event).body["cm"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("answr: {}", "unknown field 'answr'"),
        ("screen: [{rule: forbidden, patterns: ['(']}]", "screen.0"),
        ("answer: {prompt: '{{ x'}", "not a template"),
        ("answer: {}", "either prompt or recipe"),
        ("schedule: {cron: nonsense}", "not a cron expression"),
        ("variants: [{id: a}, {id: a}]", "an id of its own"),
        ("deliver: {url: 'file:///etc/passwd'}", "deliver.url"),
        ("- a", "not a mapping"),
    ],
)
def test_faults_of_a_definition_are_named(tmp_path, change, said):
    file = tmp_path / "trigger.yaml"
    file.write_text(change if change == "- a" or "answer" in change else f"answer: {{prompt: x}}\n{change}\n")
    with pytest.raises(UsageError) as raised:
        read_definition(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_template_runs_nothing(intake):
    from swift_plugin_trigger.templates import Template

    with pytest.raises(UsageError):
        Template("{{ ''.__class__.__mro__ }}").render({})
    with pytest.raises(UsageError):
        Template("{{ nothing }}").render({})
    assert Template("{{ area }}").render({"area": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}", "an event is a value, never a template"
