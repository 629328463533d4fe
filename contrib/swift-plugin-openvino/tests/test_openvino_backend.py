"""Tests of the backend that need no OpenVINO; those with it are in test_openvino_serves.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_plugin_openvino import swift_backends
from swift_plugin_openvino.backend import OpenvinoBackend
from swift_plugin_openvino.chat_template import ChatTemplate
from swift_plugin_openvino.detokenizer import Detokenizer
from swift_plugin_openvino.model import find_model
from swift_plugin_openvino.options import OpenvinoOptions
from swift_testing import backends
from swift_testing.codes import coded
from swift_testing.kit import parametrize_with_checks
from swift_testing.rig import CHATML

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server
from swift_core.options.model import Invalid

TURNS = [{"role": "user", "content": "Hi"}]


@parametrize_with_checks("swift-plugin-openvino")
def test_conformance(check) -> None:
    check()


def test_the_command_carries_the_options_and_not_the_key() -> None:
    made = backends.command(OpenvinoBackend(OpenvinoOptions(cache_gib=1, exact=True)), api_key="secret")
    assert made.argv[1:3] == ("-m", "swift_plugin_openvino.serving")
    options = json.loads(made.argv[made.argv.index("--options") + 1])
    assert (options["cache_gib"], options["exact"], options["batch"]) == (1, True, 16)
    assert "secret" not in " ".join(made.argv)
    assert made.env == {"SWIFT_API_KEY": "secret"}


def test_adapters_are_refused() -> None:
    backend = OpenvinoBackend(OpenvinoOptions())
    server = Server("http://127.0.0.1:9/v1", ("base",))
    for call in (
        lambda: backends.command(backend, adapters={"a": Path("a")}),
        lambda: backend.add_adapter(server, "a", Path("a")),
        lambda: backend.drop_adapter(server, "a"),
    ):
        with pytest.raises(UsageError, match="does not serve adapters"):
            call()


def test_other_engines_spellings() -> None:
    fields = OpenvinoOptions.model_json_schema()["properties"]
    assert fields["batch"]["also"] == ["max_num_seqs"]
    with pytest.raises(Invalid, check=coded("OPTION-005"), match="cache_gib"):
        OpenvinoOptions.checked({"cache_gig": 1})


def test_it_reads_what_openvino_reads() -> None:
    (spec,) = swift_backends()
    assert spec.isolated
    assert spec.reads == ("gguf", "openvino")
    assert not spec.adapters


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "neither a GGUF file nor openvino_model.xml"),
        (["a.gguf", "b.gguf"], "2 GGUF files"),
        (["a.gguf"], "damaged GGUF file"),
        (["openvino_model.xml"], "openvino_tokenizer.xml"),
    ],
)
def test_unsupported_folders_are_rejected(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("GGUF and no more")
    with pytest.raises(UsageError, match=message) as error:
        find_model(tmp_path)
    assert error.value.hint


def test_a_folder_in_openvino_ir(tmp_path: Path) -> None:
    for name in ("openvino_model.xml", "openvino_tokenizer.xml"):
        (tmp_path / name).write_text("<net/>")
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512, "eos_token_id": 1}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 7]}))
    assert find_model(tmp_path).context == 512
    assert find_model(tmp_path).ends == {1, 7}


def test_templates_are_rendered_as_transformers_does() -> None:
    from jinja2 import Template

    assert ChatTemplate(CHATML, {}).render(TURNS) == Template(CHATML).render(messages=TURNS, add_generation_prompt=True)
    tools = [{"type": "function", "function": {"name": "f", "description": "<é>"}}]
    source = "{{ bos_token }}{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}{% generation %}x{% endgeneration %}"
    assert ChatTemplate(source, {"bos_token": "<s>"}).render(TURNS, tools=tools) == f"<s>{json.dumps(tools[0], ensure_ascii=False)}\nx"


def test_errors_of_a_template_are_reported() -> None:
    with pytest.raises(UsageError, check=coded("SERVE-007"), match="rejects these messages: only one turn"):
        ChatTemplate("{{ raise_exception('only one turn') }}", {}).render(TURNS)
    with pytest.raises(UsageError, check=coded("SERVE-006")):
        ChatTemplate(CHATML, {}).render(TURNS, tools=[{"type": "function", "function": {"name": "f"}}])
    with pytest.raises(UsageError, check=coded("SERVE-005")):
        ChatTemplate("", {}).render(TURNS)
    with pytest.raises(UsageError, check=coded("SERVE-004"), match="can't be read"):
        ChatTemplate("{% if %}", {})
    with pytest.raises(UsageError, check=coded("SERVE-007")):
        ChatTemplate("{{ ''.__class__.__mro__[1].__subclasses__() }}", {}).render(TURNS)


def test_characters_are_returned_when_complete() -> None:
    """With a tokenizer of bytes, é and the emoji take several tokens; no piece ends within a character."""
    writer = Detokenizer(lambda ids: bytes(ids).decode("utf-8", "replace"))
    text = "é a 🎉"
    pieces = [writer.push(byte) for byte in text.encode()]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert pieces[0] == ""
    assert writer.push(0xC3) == ""
    assert writer.flush() == "\ufffd"


def test_a_space_at_the_beginning_is_kept() -> None:
    """SentencePiece drops the space before the first token of a sequence."""
    words = ["Hello", " world", " again"]
    writer = Detokenizer(lambda ids: "".join(words[number] for number in ids).removeprefix(" "))
    assert "".join(writer.push(number) for number in range(3)) == "Hello world again"
