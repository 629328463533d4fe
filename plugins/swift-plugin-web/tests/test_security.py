"""What a page refuses: one test for each door, and for each hole that other tools' pages had."""

from __future__ import annotations

import re
import time

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from swift_plugin_web.app import application
from swift_plugin_web.guard import COOKIE
from swift_plugin_web.handlers.chat import checked_messages
from swift_plugin_web.places import check_values, file_name, inside
from swift_plugin_web.site import Site

from swift_core.contract import UsageError

BASE = "http://127.0.0.1:7860"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "work").mkdir()
    return Site(folders=(tmp_path / "work",), runs=tmp_path / "work" / "runs")


def client_of(site, *, known=True):
    client = TestClient(application(site), base_url=BASE, follow_redirects=False)
    if known:
        client.cookies.set(COOKIE, site.session)
    return client


@pytest.fixture
def client(site):
    return client_of(site)


def test_without_the_token_nothing_is_shown(site):
    client = client_of(site, known=False)
    for path in ("/", "/data", "/runs", "/chat", "/models", "/train"):
        assert client.get(path).status_code == 401, path
    assert client.get("/data?token=wrong").status_code == 401
    assert client.post("/train/start", data={"csrf": site.csrf}).status_code == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(site):
    answer = client_of(site, known=False).get(f"/data?token={site.token}&set=x")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/data?set=x"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert site.token not in cookie


def test_another_host_name_is_not_answered(client):
    """DNS rebinding: a page of another name that resolves to this address."""
    for host in ("evil.example", "evil.example:7860", "127.0.0.1:80", "127.0.0.1", ""):
        assert client.get("/data", headers={"host": host}).status_code == 421, host
    assert client.get("/chat", headers={"host": "localhost:7860"}).status_code == 200


def test_a_proxy_in_front_has_a_name_of_its_own(site):
    """A TLS proxy asks under its own name, with or without a port; no other name is answered."""
    named = Site(
        folders=site.folders, runs=site.runs, host="0.0.0.0", names=("gpu.example.org", "lab.example:8443"), password="a long password"
    )
    client = client_of(named)
    for host in ("gpu.example.org", "gpu.example.org:7860", "lab.example:8443"):
        assert client.get("/runs", headers={"host": host}).status_code == 200, host
    for host in ("example.org", "gpu.example.org:1", "lab.example:80"):
        assert client.get("/runs", headers={"host": host}).status_code == 421, host
    form = {"csrf": named.csrf, "row": "{}"}
    headers = {"host": "gpu.example.org", "origin": "https://gpu.example.org"}
    assert client.post("/chat/rate", data=form, headers=headers).status_code == 400, "the origin is accepted, the row is not"


def test_passwords_are_not_tried_in_bulk(site, monkeypatch):
    monkeypatch.setattr("swift_plugin_web.app._PAUSE", 0.2)
    guarded = Site(folders=site.folders, runs=site.runs, host="192.0.2.1", password="a long password")
    client = TestClient(application(guarded), base_url="http://192.0.2.1:7860", follow_redirects=False)
    began = time.monotonic()
    for guess in ("first", "second", "third"):
        assert client.post("/login", data={"csrf": guarded.csrf, "password": guess}).status_code == 403
    assert time.monotonic() - began >= 0.6


def test_no_websocket_is_accepted(client):
    """Gradio's queue was open to websockets of other sites."""
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/chat"):
        pass


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}])
def test_another_site_can_send_no_form(site, client, headers):
    assert client.post("/chat/rate", data={"csrf": site.csrf, "row": "{}"}, headers=headers).status_code == 403


def test_a_form_needs_its_token(site, client):
    for path in ("/train/start", "/train/check", "/data/upload", "/models/delete", "/chat/answer", "/chat/rate", "/plugins/environment"):
        assert client.post(path, data={}).status_code == 403, path
        assert client.post(path, data={"csrf": "0" * 64}).status_code == 403, path


def test_every_form_goes_through_the_check(site):
    routes = [route for route in application(site).routes if "POST" in (route.methods or ())]
    assert len(routes) > 10
    for route in routes:
        assert route.endpoint.__qualname__.startswith("posts."), route.path


def test_other_methods_are_refused(client):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.request(method, "/data").status_code == 405


def test_the_policy_allows_no_inline_code(client):
    answer = client.get("/chat")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|javascript:", answer.text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", answer.text), "no request to another host"


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "~/x", "a/../../x", "/proc/self/environ"])
def test_no_path_outside_the_folders(site, client, path):
    """text-generation-webui and Gradio served and read any file that the process could."""
    with pytest.raises(UsageError):
        inside(site.folders[0] / path if not path.startswith("~") else path, site.folders)
    with pytest.raises(UsageError) as refused:
        check_values({"task": {"system": path}}, site.folders)
    assert refused.value.code == "WEB-001"
    assert client.get("/data", params={"set": path}).status_code == 400
    model = f"file:{path}" if path.startswith(("/", "~")) else path
    assert client.get("/data", params={"set": "identity", "model": model}).status_code == 400
    assert client.get(f"/static/{path}").status_code in (404, 400)


def test_a_link_leads_nowhere_outside(site, tmp_path):
    (tmp_path / "secret").write_text("x")
    (site.folders[0] / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError):
        inside(site.folders[0] / "link", site.folders)


@pytest.mark.parametrize("name", ["../x", "%2e%2e", ".git", "a/b", "x"])
def test_no_run_outside_the_runs(client, site, name):
    site.runs.mkdir()
    assert client.get(f"/runs/{name}").status_code in (400, 404)
    assert client.get(f"/runs/{name}/report").status_code in (400, 404)


def test_options_that_run_code_are_not_offered(site, client):
    from swift_plugin_web.forms import form_of, verb_of_page

    form = form_of(verb_of_page("train"), {})
    paths = {field.path for field in (*form.basic, *(field for group in form.groups.values() for field in group))}
    assert {"model", "dataset", "learning_rate"} <= paths
    assert not {"trust_remote_code", "envs", "callbacks", "launcher"} & paths
    for name in ("trust_remote_code", "envs", "launcher", "launcher.setup", "plugins", "modules", "tools", "allow_code", "extra"):
        answer = client.post("/train/check", data={"csrf": site.csrf, name: "x"})
        assert answer.json()["faults"][0]["code"] == "WEB-003", name


def test_no_shell_and_no_eval(site, client, monkeypatch):
    """ms-swift's page put form values into a command line for a shell."""
    started = []
    monkeypatch.setattr("swift_plugin_web.jobs.subprocess.Popen", lambda words, **options: started.append((words, options)))
    answer = client.post("/train/check", data={"csrf": site.csrf, "model": "$(touch pwned)", "output": "a; touch pwned"})
    assert answer.status_code == 200
    assert not started
    assert not (site.folders[0] / "pwned").exists()
    assert "'a; touch pwned'" in answer.json()["command"], "quoted for a shell, where a user may copy it to"


def test_an_upload_is_bounded_and_checked(site):
    small = Site(folders=site.folders, runs=site.runs, max_upload=1000)
    client = client_of(small)

    def upload(name, content, **more):
        return client.post("/data/upload", data={"csrf": small.csrf}, files={"file": (name, content)}, **more).status_code

    assert upload("rows.jsonl", b"{}\n") == 303
    assert upload("rows.jsonl", b"{}\n") == 400, "nothing is overwritten"
    assert upload("big.jsonl", b"x" * 2000) == 400
    assert upload("huge.jsonl", b"x" * 3_000_000) == 413
    assert upload("evil.py", b"import os") == 400
    assert upload("evil.html", b"<script>") == 400
    assert sorted(path.name for path in site.folders[0].iterdir()) == ["rows.jsonl"]


@pytest.mark.parametrize("name", ["../x.jsonl", "/etc/x.jsonl", "a\\..\\b.jsonl"])
def test_an_upload_lands_in_the_folder(name):
    assert "/" not in file_name(name, [".jsonl"])


@pytest.mark.parametrize("name", ["", ".jsonl", "..", "a\n.jsonl", "a\x00.jsonl", "$(x).jsonl", "x" * 300 + ".jsonl"])
def test_odd_names_are_refused(name):
    with pytest.raises(UsageError):
        file_name(name, [".jsonl"])


def test_text_of_users_is_escaped(client, site):
    (site.folders[0] / "rows.jsonl").write_text('{"messages": [{"role": "<script>alert(1)</script>", "content": "x"}]}\n')
    answer = client.get("/data", params={"set": "nosuch<script>"})
    assert "<script>alert" not in answer.text
    assert "nosuch<script>" not in answer.text


def test_the_chat_fetches_no_address():
    """An image's address would be fetched by the server: SSRF."""
    image = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}
    with pytest.raises(UsageError):
        checked_messages([{"role": "user", "content": [image]}])
    with pytest.raises(UsageError):
        checked_messages([{"role": "tool", "content": "x"}])
    fine = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert checked_messages([{"role": "user", "content": [fine, {"type": "text", "text": "?"}]}])


def test_the_chat_speaks_to_its_own_servers_alone(client, site):
    request = '{"choice": "http://evil.example", "messages": [{"role": "user", "content": "x"}]}'
    answer = client.post("/chat/answer", data={"csrf": site.csrf, "request": request}, headers={"accept": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "WEB-008"


def test_only_models_are_deleted(site, client, tmp_path):
    model = site.folders[0] / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (tmp_path / "other").mkdir()
    (site.folders[0] / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text("{}")
    for folder in (tmp_path / "other", site.folders[0], site.folders[0] / "linked", "/"):
        assert client.post("/models/delete", data={"csrf": site.csrf, "folder": str(folder)}).status_code == 400, folder
    assert client.post("/models/delete", data={"csrf": site.csrf, "folder": str(model)}).status_code == 303
    assert not model.exists()
    assert (tmp_path / "other" / "config.json").exists()


def test_a_read_only_page_changes_nothing(site):
    client = client_of(Site(folders=site.folders, runs=site.runs, read_only=True, secret=site.secret))
    for path in ("/train/start", "/data/upload", "/models/delete", "/chat/rate", "/plugins/environment", "/runs/x/stop", "/runs/x/resume"):
        assert client.post(path, data={"csrf": site.csrf}).status_code == 403, path
    assert client.get("/runs").status_code == 200


def test_elsewhere_than_on_loopback_a_password_is_needed(site):
    from click.testing import CliRunner
    from swift_plugin_web.command import command

    result = CliRunner().invoke(command, ["--host", "0.0.0.0", "--port", "0"], env={"SWIFT_WEB_PASSWORD": "short"})
    assert isinstance(result.exception, UsageError)
    assert result.exception.code == "WEB-020"
    open_site = Site(folders=site.folders, runs=site.runs, host="192.0.2.1", password="a long password")
    client = TestClient(application(open_site), base_url="http://192.0.2.1:7860", follow_redirects=False)
    assert client.get(f"/data?token={open_site.token}").headers["location"] == "/login"
    assert client.post("/login", data={"csrf": open_site.csrf, "password": "wrong"}).status_code == 403
    answer = client.post("/login", data={"csrf": open_site.csrf, "password": "a long password"})
    assert answer.status_code == 303
    assert COOKIE in answer.headers["set-cookie"]


def test_secrets_are_never_shown(client, site, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_value")
    for path in ("/train", "/runs", "/chat", "/models", "/serve"):
        text = client.get(path).text
        assert "hf_secret_value" not in text
        assert site.token not in text
        assert site.secret.hex() not in text
