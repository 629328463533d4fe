"""The same tokens at serving: real servers over real checkpoints whose chat templates were changed behind the manifest's back."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from swift_serve.parity import Parity, check_parity

from swift_core import contract
from swift_core.checkpoints import Checkpoint, manifest as checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a template that takes tools, and the manifest that training would write."""
    return make(tiny_model, tmp_path_factory.mktemp("parity") / "model", template("qwen2_5"))


def template(name: str) -> str:
    home = find_spec("trl").submodule_search_locations[0]
    return Path(home, "chat_templates", f"{name}.jinja").read_text()


def make(model: Path, folder: Path, chat_template: str) -> Path:
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(chat_template)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))  # byte by byte, tools are long
    return write_facts(folder)


def write_facts(folder: Path) -> Path:
    """Write the manifest's part that the template decides."""
    from swift_train.template_facts import golden, template_facts
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    checkpoints.write_manifest(folder, checkpoints.Manifest(template=template_facts(tokenizer), golden=golden(tokenizer)))
    return folder


def changed(checkpoint: Path, folder: Path, old: str, new: str) -> Path:
    """A copy with another text in its chat template, and the old manifest."""
    shutil.copytree(checkpoint, folder)
    path = folder / "chat_template.jinja"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return folder


OTHER_SYSTEM = ("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", "You are a pirate.")
OTHER_ROLE = ("'<|im_start|>' + message.role + '\\n'", "'<|im_start|>' + message.role + ' \\n'")
OTHER_CALL = ('{"name": "', '{"tool": "')


@contextmanager
def served(checkpoint: Path, *missing: str, engine: Callable[[Any], Any] = lambda engine: engine) -> Iterator[str]:
    """The embedded server in this process; the routes in `missing` it answers with 404."""
    from swift_http import bind, create_app
    from swift_http.server import Server, url_of
    from swift_plugin_transformers.serve_options import ServeOptions
    from swift_plugin_transformers.serving import load

    loaded = load(checkpoint, {}, "tiny", ServeOptions(device="cpu"))
    inner = create_app(engine(loaded))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] in missing:
            scope = {**scope, "path": "/nowhere", "raw_path": b"/nowhere"}
        await inner(scope, receive, send)

    app.state = inner.state
    socket = bind("127.0.0.1", 0)
    server = Server(app, lambda: None, grace=0.2)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        yield url_of(socket)
    finally:
        server.should_exit = True
        thread.join()
        loaded.close()
        socket.close()


def parity(url: str, checkpoint: Path) -> Parity:
    return check_parity(contract.Server.at(url), Checkpoint.at(checkpoint).manifest.golden, model="tiny")


def results(found: Parity) -> dict[str, tuple[str, str]]:
    return {check.name: (check.how, check.result) for check in found.checks}


def test_the_manifest_has_the_facts_of_the_template(made: Path):
    manifest = Checkpoint.at(made).manifest
    assert [entry["name"] for entry in manifest.golden] == ["plain", "turns", "tools"]
    assert manifest.template["default_system"] == OTHER_SYSTEM[0]
    assert manifest.template["stop"] == ["<|im_end|>"]
    call = manifest.golden[2]["messages"][1]["tool_calls"][0]
    assert call["function"]["arguments"] == {"city": "Reykjavík", "unit": "celsius"}


@pytest.mark.parametrize(
    ("name", "kept", "facts"),
    [
        ("gptoss", ["plain", "turns", "tools"], {"dated": True, "date": date.today().isoformat()}),
        ("llama3", ["plain", "turns"], {}),  # no place for tools
        ("gemma", ["plain"], {}),  # refuses a system message
        ("qwen3", ["plain", "turns", "tools"], {}),  # adds no system prompt
        ("llama3_1", ["plain", "turns", "tools"], {"default_system": ""}),  # the date in it is always the same
    ],
)
def test_what_a_template_cannot_do_is_left_out(name: str, kept: list[str], facts: dict[str, Any], tiny_model: Path, tmp_path: Path):
    manifest = Checkpoint.at(make(tiny_model, tmp_path / "model", template(name))).manifest
    assert [entry["name"] for entry in manifest.golden] == kept
    assert {key: value for key, value in manifest.template.items() if key not in ("hash", "stop")} == facts


DATED = (
    "{{ '<|im_start|>system\nOn ' + strftime_now('%A, %d %B %Y') + ' you help.<|im_end|>\n' }}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_a_date_in_the_template_is_left_out_of_the_comparison(tiny_model: Path, tmp_path: Path):
    """Served on another day, with the day of the server; what stands around the date is compared."""
    from swift_train.template_date import frozen_date

    with frozen_date("2026-05-09"):
        trained = make(tiny_model, tmp_path / "trained", DATED)
    manifest = Checkpoint.at(trained).manifest
    assert [entry["name"] for entry in manifest.golden] == ["plain", "turns"]
    assert all(entry["varies"] for entry in manifest.golden)
    with served(trained) as url:
        found = parity(url, trained)
    assert results(found) == dict.fromkeys(("plain", "turns"), ("tokens", "same"))
    with served(changed(trained, tmp_path / "changed", " you help.", " you may.")) as url:
        found = parity(url, trained)
    assert results(found) == dict.fromkeys(("plain", "turns"), ("tokens", "different"))
    with served(trained, "/tokenize") as url:
        assert {check.result for check in parity(url, trained).checks} == {"unchecked"}


def test_generation_settings_are_those_of_the_files(tiny_model: Path):
    from swift_train.build import load_checkpoint
    from swift_train.template_facts import generation_facts

    loaded = load_checkpoint(tiny_model, device="cpu")
    loaded.model.generation_config.update(do_sample=True, temperature=0.6)
    end = loaded.processor.convert_tokens_to_ids("<|im_end|>")
    facts = generation_facts(loaded.model, loaded.processor)
    ends = {"eos_token_id": end, "pad_token_id": end, "bos_token_id": loaded.processor.bos_token_id}
    assert facts == {"do_sample": True, "temperature": 0.6, **ends}


def test_ids_are_compared(made: Path):
    with served(made) as url:
        found = parity(url, made)
    assert found.same, found
    assert results(found) == dict.fromkeys(("plain", "turns", "tools"), ("tokens", "same"))


@pytest.mark.parametrize("missing", [(), ("/tokenize",), ("/tokenize", "/detokenize")])
@pytest.mark.parametrize(
    ("change", "differ", "hint"),
    [
        (OTHER_SYSTEM, ["plain", "tools"], "default system prompt"),
        (OTHER_ROLE, ["plain", "turns", "tools"], "another chat template"),
        (OTHER_CALL, ["tools"], "Only conversations with tools differ"),
    ],
    ids=["system", "role", "call"],
)
def test_a_change_of_the_template_is_found(change, differ, hint, missing, made, tmp_path):  # noqa: PLR0917 (pytest names them)
    with served(changed(made, tmp_path / "changed", *change), *missing) as url:
        found = parity(url, made)
    assert [check.name for check in found.checks if check.result != "same"] == differ
    assert not found.same
    assert hint in found.hint or "unchecked" in {check.result for check in found.checks}


def test_the_difference_is_reported_in_tokens_and_text(made: Path, tmp_path: Path):
    with served(changed(made, tmp_path / "changed", *OTHER_SYSTEM)) as url:
        why = parity(url, made).checks[0].why
    assert "the first difference is at token" in why
    assert "pirate" in why.partition(", checkpoint ")[0]
    assert "Qwen" in why.partition(", checkpoint ")[2]


def test_without_tokenize_the_log_probabilities_are_compared(made: Path):
    with served(made, "/tokenize") as url:
        found = parity(url, made)
    assert results(found) == dict.fromkeys(("plain", "turns", "tools"), ("log-probabilities", "same"))


class Skewed:
    """An engine whose conversations are rendered by `skew`."""

    def __init__(self, engine: Any, skew: Callable[[list[int]], list[int]]) -> None:
        self._engine, self._skew = engine, skew

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def render(self, *args: Any, **more: Any) -> list[int]:
        return self._skew(self._engine.render(*args, **more))


@pytest.mark.parametrize("missing", [(), ("/tokenize",)])
@pytest.mark.parametrize(("skew", "hint"), [(lambda ids: [*ids[:1], *ids], "adds a BOS"), (lambda ids: ids[1:], "omits the BOS")])
def test_a_bos_too_many_or_too_few(skew: Any, hint: str, missing: Sequence[str], made: Path):
    with served(made, *missing, engine=lambda engine: Skewed(engine, skew)) as url:
        found = parity(url, made)
    assert {check.result for check in found.checks} == {"different"}
    assert hint in found.hint


def test_as_many_but_other_tokens_are_found_without_tokenize(made: Path):
    with served(made, "/tokenize", engine=lambda engine: Skewed(engine, lambda ids: [*ids[:-3], ids[-3] + 1, *ids[-2:]])) as url:
        found = parity(url, made)
    assert {check.how for check in found.checks} == {"log-probabilities"}
    assert "same" not in {check.result for check in found.checks}


@pytest.mark.parametrize("missing", ["/v1/completions", "/v1/chat/completions"])
def test_what_cannot_be_compared_is_no_pass(missing: str, made: Path, swift):
    with served(made, "/tokenize", missing) as url:
        found = parity(url, made)
        outcome = swift("check-parity", url, str(made))
    assert {check.result for check in found.checks} == {"unchecked"}
    assert not found.same
    assert outcome.code == 1
    assert "can't be compared" in outcome.err


def test_check_parity_command(made: Path, tmp_path: Path, swift):
    with served(made) as url:
        assert (swift("check-parity", url, str(made))).code == 0
        said = swift("check-parity", url, str(made), "--json")
        assert json.loads(said.out)["same"]
        assert "no model 'other'" in swift("check-parity", url, str(made), "--name", "other").err
        other = changed(made, tmp_path / "other", *OTHER_SYSTEM)
        write_facts(other)
        outcome = swift("check-parity", url, str(other))
        assert outcome.code == 1
        assert "other tokens than it was trained on: 'plain'" in outcome.err
        assert "default system prompt" in outcome.err
        assert "plain" in outcome.out
        assert swift("check-parity", url, str(other), "--json").code == 1


def test_check_parity_needs_golden_conversations(tiny_model: Path, tmp_path: Path, swift):
    outcome = swift("check-parity", "http://127.0.0.1:9/v1", str(tiny_model))
    assert outcome.code == 2
    assert "no golden conversations" in outcome.err
    assert swift("check-parity", "http://127.0.0.1:9/v1", str(tmp_path / "nowhere")).code == 2


def test_serve_refuses_other_tokens_or_warns_if_configured(made: Path, tmp_path: Path, swift):
    other = str(changed(made, tmp_path / "changed", *OTHER_SYSTEM))
    refused = swift("serve", other, "--port", "0", "--device", "cpu")
    assert refused.code == 1
    assert "ready" not in refused.out
    assert "other tokens than it was trained on: 'plain'" in refused.err
    assert "--parity warn" in refused.err
    assert swift("infer", other, "--questions", "Hi").code == 1
    warned = swift("infer", other, "--questions", "Hi", "--max-tokens", "2", "--parity", "warn")
    assert warned.code == 0
    asked = swift("ask", str(made), "--questions", "Hi", "--max-tokens", "2")
    assert asked.code == 0, asked.err


def test_serve_checks_its_adapters(made: Path, tmp_path: Path, swift):
    """An adapter that was trained with another template, beside a base that is as it was."""
    import torch
    from peft import LoraConfig, get_peft_model
    from swift_train.template_facts import golden
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    folder = tmp_path / "poet"
    model = AutoModelForCausalLM.from_pretrained(made)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(changed(made, tmp_path / "changed", *OTHER_ROLE))
    manifest = checkpoints.Manifest(kind="adapter", tuner={"name": "lora"}, golden=golden(tokenizer))
    checkpoints.write_manifest(folder, manifest)
    refused = swift("serve", str(made), "--adapter", f"poet={folder}", "--port", "0", "--device", "cpu")
    assert refused.code == 1
    assert "the engine gives 'poet' other tokens" in refused.err
