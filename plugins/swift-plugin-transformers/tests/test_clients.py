"""Clients of other makers against the embedded server: each in an environment of its own, asking one that has a model without sense."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from swift_http import create_app
from swift_http.server import Server, bind, url_of
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load

CLIENTS = Path(__file__).parent / "clients"
KEY = "sk-clients"
TEMPLATE = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for message in messages %}{{ message.content }} {% endfor %}"

pytestmark = pytest.mark.full("clients")


@pytest.fixture(scope="module")
def url(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    engine = load(folder, {}, "m", ServeOptions(device="cpu", dtype="float32", memory="64MB"))
    bound = bind("127.0.0.1", 0)
    server = Server(create_app(engine, api_key=KEY), lambda: None, grace=0.5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield url_of(bound)
    server.should_exit = True
    thread.join()
    engine.close()
    bound.close()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with LiteLLM and LangChain's OpenAI package."""
    folder = tmp_path_factory.mktemp("clients") / "env"
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "litellm", "langchain-openai"], check=True)
    return folder / "bin" / "python"


@pytest.mark.parametrize("name", ["litellm", "langchain"])
def test_a_client_in_python(url: str, python: Path, name: str):
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # its list of prices is not fetched
    done = subprocess.run([python, CLIENTS / f"ask_{name}.py", url], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_npm_client(url: str, tmp_path: Path):
    shutil.copy(CLIENTS / "ask_openai.mjs", tmp_path)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "openai"], cwd=tmp_path, check=True)
    done = subprocess.run(["node", "ask_openai.mjs", url], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_openais_own_client(url: str):
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    ask: Any = [{"role": "user", "content": "Hi"}]
    tool: Any = {"type": "function", "function": {"name": "now"}}
    assert client.chat.completions.create(model="m", messages=ask, max_tokens=8).choices[0].message.content is not None
    with client.chat.completions.stream(model="m", messages=ask, tools=[tool], tool_choice="required", max_tokens=40) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls
    assert calls[0].function.arguments == "{}"
    with client.responses.stream(model="m", input="Hi", max_output_tokens=8) as events:
        kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert client.completions.create(model="m", prompt=["a", "b"], max_tokens=3, logprobs=2).choices[1].logprobs
    assert len(client.embeddings.create(model="m", input="a b").data[0].embedding) > 1
