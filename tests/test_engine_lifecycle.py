"""`swift serve` with SGLang and LMDeploy, from the environment to the clean stop: a stand-in speaks as they do."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from swift_serve import adapters
from swift_serve.client import Client
from swift_testing import stand_in
from swift_testing.serving import SwiftServe

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Server
from tests.waiting import HANG, wait_for

VERSIONS = {"sglang": "0.5.23", "lmdeploy": "0.18.0"}
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]

KEY = "a-secret"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module", params=VERSIONS)
def engine(request, tmp_path_factory) -> tuple[str, Path]:
    return request.param, stand_in.environment(tmp_path_factory.mktemp(request.param) / "env", request.param, VERSIONS[request.param])


@pytest.fixture(scope="module", params=["sglang", pytest.param("lmdeploy", marks=pytest.mark.full("engines"))])
def any_engine(request, tmp_path_factory) -> tuple[str, Path]:
    """Of tests of what is the same for every engine."""
    return request.param, stand_in.environment(tmp_path_factory.mktemp(request.param) / "env", request.param, VERSIONS[request.param])


@pytest.fixture(scope="module")
def sglang(tmp_path_factory) -> Path:
    return stand_in.environment(tmp_path_factory.mktemp("sglang") / "env", "sglang", VERSIONS["sglang"])


def adapter(folder: Path, weights: int) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    save_file({"w": np.zeros(weights, np.uint8)}, folder / "adapter_model.safetensors")
    return folder


def serving(tmp_path: Path, model: Path, engine: str, python: Path, *words: str, **env: str) -> SwiftServe:
    envs = json.dumps({engine: str(python)})
    return SwiftServe(
        tmp_path, str(model), "--backend", engine, "--envs", envs, "--name", "base", *words, env={"SWIFT_API_KEY": KEY, **env}
    )


def test_from_start_to_stop(engine, tiny_model, tmp_path):
    name, python = engine
    named = [word for alias, size in (("one", 10), ("two", 20)) for word in ("--adapter", f"{alias}={adapter(tmp_path / alias, size)}")]
    running = serving(tmp_path, tiny_model, name, python, *named).start()
    assert running.models == (["base", "base:one", "base:two"] if name == "sglang" else ["base", "one", "two"])
    client = Client(running.server)
    for model in running.models:
        assert client.complete(HELLO, model=model) == "I am a stand-in."
    assert len(list(client.chat(HELLO))) == 5
    with pytest.raises(UsageError, match="rejects the API key"):
        Client(Server.at(running.url)).complete(HELLO, model="base")
    assert client.serves("../metrics")
    log = (running.run_folder / "log.txt").read_text()
    assert "loading the weights" in log
    assert KEY not in log
    ended = running.stop()
    assert f"ready: {running.url}  (models: {', '.join(running.models)})" in ended.out
    assert f"metrics: {running.url.removesuffix('/v1')}/metrics" in ended.out
    assert ended.code in (0, 130)
    assert ended.left == ()
    assert running.port_is_free()


def test_the_key_is_in_no_process_list(any_engine, tiny_model, tmp_path):
    from swift_testing.serving import descendants

    with serving(tmp_path, tiny_model, *any_engine) as running:
        seen = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(running._process.pid)]
        assert len(seen) >= 4  # the command, its worker, the tether, the engine, its child
        assert not any(KEY.encode() in line for line in seen)


def test_an_adapter_that_changes_nothing_is_not_served(any_engine, tiny_model, tmp_path):
    ended = serving(tmp_path, tiny_model, *any_engine, "--adapter", f"one={adapter(tmp_path / 'one', 0)}").run()
    assert ended.code == 1
    assert "the adapter has no effect" in ended.err
    assert ended.left == ()


def test_an_adapter_of_another_base_is_refused_before_the_start(any_engine, tiny_model, tmp_path):
    folder = adapter(tmp_path / "one", 10)
    manifest = {"schema": 1, "kind": "adapter", "base": {"reference": "hf:other/model", "hash": "0" * 64}}
    (folder / "swift.json").write_text(json.dumps(manifest))
    ended = serving(tmp_path, tiny_model, *any_engine, "--adapter", f"one={folder}").run()
    assert ended.code == 2
    assert "the adapter was trained on hf:other/model" in ended.err
    with serving(tmp_path / "again", tiny_model, *any_engine, "--adapter", f"one={folder}", "--allow-other-base") as running:
        assert running.models[0] == "base"


def test_an_engine_that_does_not_start_or_ends_says_why(any_engine, tiny_model, tmp_path):
    ended = serving(tmp_path, tiny_model, *any_engine, STAND_IN_FAULT="start").run()
    assert ended.code == 1
    assert "the engine ended with code 1" in ended.err
    assert "Not enough memory" in ended.err
    assert ended.left == ()
    running = serving(tmp_path / "later", tiny_model, *any_engine, STAND_IN_FAULT="later", STAND_IN_END=str(tmp_path / "end")).start()
    (tmp_path / "end").touch()
    running._process.wait(HANG)
    ended = running.stop()
    assert ended.code == 1
    assert "the engine ended with code 1" in ended.err
    assert "CUDA error" in ended.err
    assert ended.left == ()


def test_an_engine_that_ignores_its_key_is_not_announced(sglang, tiny_model, tmp_path):
    """The key is one that `swift serve` has made, since the port is open to others."""
    options = ("--host", "0.0.0.0")
    ended = serving(tmp_path, tiny_model, "sglang", sglang, *options, STAND_IN_FAULT="open", SWIFT_API_KEY="").run()
    assert ended.code == 1
    assert "POST /v1/chat/completions without a key returns 200" in ended.err
    assert "ready" not in ended.out
    assert ended.left == ()


def test_an_engine_that_never_answers(any_engine, tiny_model, tmp_path):
    ended = serving(tmp_path, tiny_model, *any_engine, "--startup-timeout", "1", STAND_IN_FAULT="never").run()
    assert ended.code == 1
    assert "the engine was not ready within 1 seconds" in ended.err
    assert "--startup-timeout" in ended.err
    assert ended.left == ()


def test_a_killed_command_leaves_no_engine(any_engine, tiny_model, tmp_path):
    from swift_testing.serving import alive, descendants

    running = serving(tmp_path, tiny_model, *any_engine).start()
    pids = descendants(running._process.pid)
    os.kill(running._process.pid, signal.SIGKILL)
    running._process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids))


def test_adapters_come_and_go(sglang, tiny_model, tmp_path):
    one, idle = adapter(tmp_path / "one", 10), adapter(tmp_path / "idle", 0)
    with serving(tmp_path, tiny_model, "sglang", sglang, "--runtime-adapters", "--max-lora-rank", "8") as running:
        folder = str(running.run_folder)
        assert running.adapter("list", folder).out == "no adapters\n"
        added = running.adapter("add", folder, f"mine={one}", "--json")
        assert json.loads(added.out) == {"name": "mine", "model": "base:mine"}
        assert "base:mine" in running.adapter("list", folder).out
        for words, code, why in (
            ((f"mine={one}",), 2, "the server already has a model 'mine'"),
            (("mine",), 2, "is not NAME=CHECKPOINT"),
            ((f"other={tmp_path / 'nowhere'}",), 2, "there is no 'nowhere' in the folder"),
            ((f"other={tiny_model}",), 2, "not an adapter"),
            ((f"other={idle}",), 1, "the adapter has no effect"),
        ):
            refused = running.adapter("add", folder, *words)
            assert (refused.code, why in refused.err) == (code, True), refused.err
        assert json.loads(running.adapter("list", folder, "--json").out) == {"mine": "base:mine"}
        missed = running.adapter("drop", folder, "main")
        assert missed.code == 2
        assert "Did you mean 'mine'?" in missed.err
        assert running.adapter("drop", folder, "mine").out == "dropped 'mine'\n"
        assert running.adapter("list", folder, "--json").out == "{}\n"
        events = [json.loads(line)["event"] for line in (running.run_folder / "events.jsonl").read_text().splitlines()]
        assert [event for event in events if event.startswith("adapter")] == ["adapter_added", "adapter_dropped"]
    ended = running.adapter("list", folder)
    assert ended.code == 2
    assert "the server has stopped" in ended.err


def test_the_python_api(sglang, tiny_model, tmp_path, monkeypatch):
    from swift_core import serve

    monkeypatch.setenv("SWIFT_API_KEY", KEY)
    options = {"backend": "sglang", "envs": {"sglang": str(sglang)}, "runs": str(tmp_path / "runs"), "name": "base"}
    with serve(tiny_model, **options, runtime_adapters=True, max_lora_rank=8) as server:
        assert adapters.add(server, "mine", adapter(tmp_path / "one", 10)) == "base:mine"
        assert adapters.listed(server) == {"mine": "base:mine"}
        adapters.drop(server, "mine")
        assert adapters.listed(server) == {}


def test_adapters_that_are_fixed(engine, tiny_model, tmp_path):
    name, python = engine
    if name == "lmdeploy":
        ended = serving(tmp_path, tiny_model, name, python, "--runtime-adapters").run()
        assert ended.code == 2
        assert "lmdeploy can't change adapters while it runs" in ended.err
    with serving(tmp_path / "fixed", tiny_model, name, python) as running:
        refused = running.adapter("add", str(running.run_folder), f"one={adapter(tmp_path / 'one', 10)}")
        assert refused.code == 2
        assert ("are fixed" if name == "sglang" else "can't change adapters") in refused.err


def test_folders_that_are_no_server(tmp_path):
    with pytest.raises(UsageError, match="not a run folder"):
        adapters.listed(tmp_path)
    with pytest.raises(SwiftError, match="has no run folder"):
        adapters.listed(Server("http://127.0.0.1:9/v1", ("base",)))
