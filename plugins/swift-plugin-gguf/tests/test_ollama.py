"""Modelfiles: the Go template renders as the chat template; stop sequences, system prompt and sampling are the checkpoint's.

Ollama itself is not run: `in_go` interprets the part of its template language that is used.
"""

from __future__ import annotations

import json
import re

import pytest
from swift_plugin_gguf.go_template import derive_turn_template
from swift_plugin_gguf.ollama import OllamaExporter
from swift_plugin_gguf.options import OllamaOptions
from transformers import AutoTokenizer

from swift_core.contract.errors import UsageError

SYSTEM = "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
CHATML = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
PLAIN = "{% for m in messages %}" + CHATML + PROMPT
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|head|>' + m['role'] + '<|/head|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}{% set rest = messages[1:] %}{% else %}"
    "{% set first = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}{{ '<turn>' + m['role'] + '\n' }}"
    "{% if loop.first %}{{ first }}{% endif %}{{ m['content'] + '</turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}"
)
TALK = (("system", "Be brief."), ("user", "Hi {{ x }}"), ("assistant", "Hello."), ("user", "How\nare you?"))


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """Makes a copy of the tiny model with another chat template."""

    def make(template, **generation):
        folder = tmp_path / "model"
        folder.mkdir()
        for path in tiny_model.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "chat_template.jinja").write_text(template)
        if generation:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        return folder

    return make


def rendered(folder, talk, prompt=True):
    messages = [{"role": role, "content": text} for role, text in talk]
    return AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)


def in_go(template, talk):
    """Render a template written by `TurnTemplate.go`."""
    around = r"(.*?)\{\{ range \$i, \$_ := \.Messages \}\}\{\{ \$last := [^}]*\}\}(.*)\{\{ end \}\}"
    begin, body = re.fullmatch(around, template, re.S).groups()
    parts = re.fullmatch(
        r'\{\{ if eq \.Role "system" \}\}(.*)\{\{ else if eq \.Role "user" \}\}(.*)\{\{ else if eq \.Role "assistant" \}\}(.*)'
        r'\{\{ if not \$last \}\}(.*)\{\{ end \}\}\{\{ end \}\}\{\{ if and \$last \(ne \.Role "assistant"\) \}\}(.*)\{\{ end \}\}',
        body,
        re.S,
    )
    system, user, assistant, after, prompt = (piece.replace('{{ "{{" }}', "{{") for piece in parts.groups())
    words = {"system": system, "user": user, "assistant": assistant}
    text = begin
    for number, (role, content) in enumerate(talk, 1):
        text += words[role].replace("{{ .Content }}", content)
        if role == "assistant" and number < len(talk):
            text += after
    return text + ("" if talk[-1][0] == "assistant" else prompt)


def lines(folder, tmp_path, **options):
    file = OllamaExporter(OllamaOptions(**options)).export(folder, tmp_path / "out")
    assert file.name == "Modelfile"
    return file.read_text()


def template_in(text):
    return re.search(r'TEMPLATE """(.*?)"""', text, re.S)[1]


@pytest.mark.parametrize("source", [PLAIN, LLAMA3], ids=["chatml", "llama3"])
def test_the_go_template_renders_as_the_chat_template(source, checkpoint, tmp_path):
    folder = checkpoint(source)
    template = template_in(lines(folder, tmp_path))
    for talk in (TALK, TALK[1:], TALK[:2], TALK[1:2]):
        assert in_go(template, talk) == rendered(folder, talk)
    assert in_go(template, TALK[:3]) == rendered(folder, TALK[:3], prompt=False).rpartition("Hello.")[0] + "Hello."  # continued


def test_a_default_system_prompt_goes_into_system(checkpoint, tmp_path):
    folder = checkpoint(SYSTEM + CHATML + PROMPT)
    text = lines(folder, tmp_path)
    assert 'SYSTEM """Be kind."""' in text
    assert in_go(template_in(text), (("system", "Be kind."), *TALK[1:])) == rendered(folder, TALK[1:])


def test_stop_sequences_and_sampling_are_the_checkpoints(checkpoint, tmp_path):
    folder = checkpoint(PLAIN, eos_token_id=[2, 0], temperature=0.6, top_k=20, repetition_penalty=1.1)
    text = lines(folder, tmp_path, type="q8_0", context=2048, system="Rhyme.")
    for line in (
        "FROM ./model-Q8_0.gguf",
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop "<|endoftext|>"',
        "PARAMETER temperature 0.6",
        "PARAMETER top_k 20",
        "PARAMETER repeat_penalty 1.1",
        "PARAMETER num_ctx 2048",
        'SYSTEM """Rhyme."""',
    ):
        assert f"{line}\n" in text
    assert (tmp_path / "out/model-Q8_0.gguf").is_file()


@pytest.mark.parametrize("source", [GEMMA, "{{ raise_exception('no') }}"], ids=["gemma", "refusing"])
def test_a_template_that_is_not_plain_turns_becomes_a_comment(source, checkpoint, tmp_path):
    text = lines(checkpoint(source), tmp_path)
    assert "TEMPLATE" not in text
    assert "# The chat template can't be converted" in text


def test_the_first_token_is_written_once(checkpoint):
    folder = checkpoint(LLAMA3)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def render(messages, prompt):
        return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)

    turns = derive_turn_template(render, default_system=False, bos="<|im_start|>")
    assert turns.begin == ""
    assert turns.render([{"role": "user", "content": "Hi"}]) == rendered(folder, [("user", "Hi")]).removeprefix("<|im_start|>")


def test_shards_are_refused(tiny_model, tmp_path):
    with pytest.raises(UsageError) as error:
        OllamaExporter(OllamaOptions(shard_size=1)).export(tiny_model, tmp_path / "out")
    assert error.value.where == "shard_size"
