"""The pages: what they show, in both languages, and how a form becomes a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient
from swift_plugin_web import jobs
from swift_plugin_web.app import application
from swift_plugin_web.drawing import PAGES
from swift_plugin_web.guard import COOKIE
from swift_plugin_web.levels import MOST_BASIC
from swift_plugin_web.site import Site
from swift_train.testing import ragged_chats, run_training, training_run, write_rows

from swift_core.system import write_run


@pytest.fixture
def site(tmp_path, tiny_model):
    write_rows(tmp_path / "rows.jsonl", ragged_chats(6))
    (tmp_path / "model").mkdir()
    for path in tiny_model.iterdir():
        (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
    return Site(folders=(tmp_path,), runs=tmp_path / "runs")


@pytest.fixture
def client(site, monkeypatch):
    monkeypatch.chdir(site.folders[0])
    client = TestClient(application(site), base_url="http://127.0.0.1:7860", follow_redirects=False)
    client.cookies.set(COOKIE, site.session)
    return client


@pytest.mark.parametrize("page", [page for page in PAGES if page != "plugins"])
def test_every_page_in_both_languages(client, page):
    english, chinese = client.get(f"/{page}?lang=en"), client.get(f"/{page}?lang=zh")
    assert english.status_code == chinese.status_code == 200
    assert '<html lang="zh">' in chinese.text
    assert "数据" in chinese.text
    parts = [client.get(f"/static/{name}").content for name in ("style.css", "page.js", "icon.svg")]
    assert sum(map(len, (chinese.content, *parts))) < 150_000
    assert len(english.content) < 150_000
    assert english.text.count("<h1>") == 1


def test_every_text_has_both_languages_and_is_used():
    import swift_plugin_web
    from swift_plugin_web.texts import _TEXTS

    folder = Path(swift_plugin_web.__file__).parent
    written = "".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".py", ".html") and path.name != "texts.py")
    statuses = {"prepared", "submitted", "failed", "stopped", "done", "running", *PAGES}
    assert [name for name in _TEXTS if f'"{name}"' not in written and f"'{name}'" not in written and name not in statuses] == []
    assert [pair for pair in _TEXTS.values() if not all(pair)] == []


def test_a_form_shows_few_fields_at_once(client):
    text = client.get("/train").text
    first = text.partition("<details>")[0]
    assert 4 < first.count('class="field"') <= MOST_BASIC
    assert text.count('class="field"') > 40


def every_option():
    """Each verb of a page with each implementation of each of its parts: the paths of the options, with their sections."""
    from swift_plugin_web.forms import PAGE_VERBS, training_verbs, verb_of_page

    from swift_core.contract import Settings
    from swift_core.options import flags_for
    from swift_core.plugins import registry

    found = {}
    for verb in [*training_verbs(), *map(verb_of_page, PAGE_VERBS)]:
        chosen = [{part: spec.name} for part in verb.parts if part not in {"launcher", *verb.fixed} for spec in registry().all(part)]
        for settings in [{}, *chosen]:
            found |= {flag.path: flag for flag in flags_for(verb, [], Settings(dict(settings)), registry()).flags.values()}
    return found


def test_every_option_has_a_group_and_none_that_takes_code_is_offered():
    from swift_plugin_web.levels import HIDDEN, NAMES, group_of

    options = every_option()
    assert len(options) > 300
    shown = {path: flag for path, flag in options.items() if not HIDDEN & {*path.split(".")}}
    assert [path for path, flag in shown.items() if group_of(path, flag.section) == "Other"] == []
    code = [path for path, flag in shown.items() if re.search(r"FILE\.py|MODULE:|Python file|Shell command", flag.field.description)]
    assert {path.rpartition(".")[2] for path in code} <= NAMES


@pytest.mark.parametrize("value", ["os:system", "rewards.py:f", "accuracy\nos:system", '{"name": "os:system"}'])
def test_code_is_refused_where_a_name_is_wanted(client, site, value):
    values = {"csrf": site.csrf, "verb": "grpo", "model": "model", "dataset": "rows.jsonl", "reward_funcs": value}
    (fault,) = client.post("/train/check", data=values).json()["faults"]
    assert fault["path"] == "reward_funcs"
    assert "no code" in fault["message"]


def check(client, site, **values):
    return client.post("/train/check", data={"csrf": site.csrf, "verb": "sft", **values}).json()


def test_a_form_has_its_command_its_file_and_its_plan(client, site):
    found = check(client, site, model="model", dataset="rows.jsonl", max_steps="2", **{"tuner.rank": "4"})
    assert not found["faults"], found
    assert "--tuner.rank 4" in found["command"]
    assert yaml.safe_load(found["yaml"])["tuner"]["rank"] == 4
    assert any("peak" in line for line in found["plan"])


def test_an_error_is_at_its_field(client, site):
    found = check(client, site, model="model", dataset="rows.jsonl", learning_rate="-1")
    assert [fault["path"] for fault in found["faults"]] == ["learning_rate"]
    found = check(client, site, model="model", dataset="rows.jsonl", max_steps="many")
    assert [(fault["path"], fault["code"]) for fault in found["faults"]] == [("max_steps", "WEB-004")]
    assert check(client, site, dataset="rows.jsonl")["faults"][0]["path"] == "model"


def test_a_run_is_started_as_a_command(client, site, monkeypatch):
    started = []

    class Process:
        pid = 0

        def wait(self):
            return 0

    monkeypatch.setattr("swift_plugin_web.jobs.subprocess.Popen", lambda words, **options: started.append((words, options)) or Process())
    values = {"csrf": site.csrf, "verb": "sft", "model": "model", "dataset": "rows.jsonl", "max_steps": "2"}
    assert client.post("/train/start", data=values).status_code == 303
    ((words, options),) = started
    assert words[-5:-3] == ["swift_core.cli", "sft"]
    assert "shell" not in options
    assert options["start_new_session"]
    assert yaml.safe_load(Path(words[-3]).read_text())["max_steps"] == 2
    assert jobs.jobs(site)[0].verb == "sft"


def test_runs_are_read_from_their_folders(client, site, tiny_model):
    folder = site.runs / "20261130-101500-sft-a1b2"
    run = training_run(tiny_model, site.folders[0] / "rows.jsonl", max_steps=3)
    folder.mkdir(parents=True)
    write_run(run, folder)
    run_training(run, folder)
    assert folder.name in client.get("/runs").text
    page = client.get(f"/runs/{folder.name}")
    assert "<polyline" in page.text
    assert "3 / 3" in page.text
    assert client.get(f"/runs/{folder.name}/live").headers["x-run-status"] == "running"
    assert client.post(f"/runs/{folder.name}/stop", data={"csrf": site.csrf}).status_code == 303
    assert (folder / "stop").exists()
    compared = client.get("/runs/compare", params={"run": folder.name})
    assert compared.status_code == 200
    assert "sandbox" in compared.headers["content-security-policy"]


def test_data_is_checked_and_shown(client, site):
    page = client.get("/data", params={"set": "rows.jsonl"})
    assert page.status_code == 200
    assert "Because." in page.text
    broken = site.folders[0] / "broken.jsonl"
    broken.write_text('{"messages": [{"role": "usr", "content": "x"}]}\n')
    assert "unknown role" in client.get("/data", params={"set": "broken.jsonl"}).text


def test_a_rating_is_a_preference_row(client, site):
    row = {"prompt": [{"role": "user", "content": "Hi"}], "chosen": "Hello", "rejected": "Go away"}
    assert client.post("/chat/rate", data={"csrf": site.csrf, "row": json.dumps(row)}).status_code == 200
    from swift_data.rows import normalise

    from swift_core.contract import RawRow

    written = json.loads((site.folders[0] / "ratings.jsonl").read_text())
    assert normalise(RawRow(written, "ratings.jsonl", 1), ["preference"])


def test_plugins_and_models(client, site):
    text = client.get("/plugins").text
    assert "swift-plugin-peft" in text
    models = client.get("/models").text
    assert ">model<" in models
