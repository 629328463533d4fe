"""The fixtures for plugin authors do what they say, and cost no torch where they need none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from swift_serve.client import Client
from swift_testing.fake_engine import FakeEngine
from swift_testing.rig import tiny_tokenizer

from swift_core import UsageError
from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.family import identify
from swift_core.contract.roles import RawRow, Server
from swift_core.contract.specs import DatasetSpec, LauncherSpec, Ref
from swift_core.plugins.loader import plugins
from swift_core.plugins.registered import registry


def test_the_light_fixtures_import_nothing_heavy():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'tokenizers', 'numpy']))\n"
        "import swift_testing.rig, swift_testing.project, swift_testing.inline\n"
        "from swift_testing.fake_engine import FakeEngine\n"
        "with FakeEngine(): pass"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checkpoint_with_a_chat_template_of_its_own(tiny_model, tmp_path):
    """As the page on testing has it: what ends a turn there is learned."""
    from swift_train.chat_template import ChatTemplate
    from transformers import AutoTokenizer

    folder = shutil.copytree(tiny_model, tmp_path / "checkpoint")
    tokenizer = tiny_tokenizer("<|end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(folder)
    template = ChatTemplate(AutoTokenizer.from_pretrained(folder))
    assert template.stops[0] == "<|end|>"
    assert len(tokenizer) == Checkpoint.at(folder).config["vocab_size"]


def test_the_tiny_vlm_sees(tiny_vlm):
    """Another image gives other logits: the pixels go through the tower and the projector to the language model."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_vlm)
    model = AutoModelForImageTextToText.from_pretrained(tiny_vlm).eval()
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    assert text.count("<image>") == 1
    logits = []
    for colour in ("red", "blue"):
        inputs = processor(images=[Image.new("RGB", (20, 30), colour)], text=text, return_tensors="pt")
        assert (inputs["input_ids"] == model.config.image_token_id).sum() == 4
        with torch.no_grad():
            logits.append(model(**inputs).logits[0, -1])
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_the_tiny_vlm_is_a_family_s_in_every_part(tiny_vlm):
    from safetensors import safe_open

    family = identify(Checkpoint.at(tiny_vlm).config, registry().all("family"))
    assert family.name == "llava"
    from transformers import AutoModelForImageTextToText

    names = [name for name, _ in AutoModelForImageTextToText.from_pretrained(tiny_vlm).named_parameters()]
    parts = (family.vision_tower, family.aligner, family.language_model, family.head)
    assert all(any(name.startswith(part) for name in names) for part in parts)
    assert all(any(name.startswith(part) for part in parts) for name in names)
    with safe_open(tiny_vlm / "model.safetensors", "pt") as file:
        assert file.keys()


def test_the_fake_engine_answers_in_turn_and_keeps_what_it_was_asked(fake_engine):
    fake_engine.answers = ["one", lambda messages: messages[-1]["content"].upper()]
    ask = [{"role": "user", "content": "two words"}]
    client = Client(fake_engine.as_server)
    assert client.models() == ["fake"]
    assert client.complete(ask) == "one"
    assert list(client.chat(ask)) == ["TWO", " WORDS"]
    assert client.complete(ask) == "TWO WORDS"
    assert fake_engine.asked == ["two words"] * 3
    assert client.post("../tokenize", {"prompt": "ab"}) == {"tokens": [97, 98], "count": 2}


def test_the_fake_engine_refuses_as_an_engine_does():
    with FakeEngine("secret", models=("base", "adapter"), api_key="key") as engine:
        client = Client(engine.as_server)
        ask = [{"role": "user", "content": "x"}]
        with pytest.raises(UsageError):
            Client(Server(engine.url, ("base",))).complete(ask)
        with pytest.raises(UsageError):
            client.complete(ask, model="other")
        assert client.complete(ask, model="adapter") == "secret"
        assert engine.as_server.models == ("base", "adapter")


def test_openai_s_own_client_reads_the_fake_engine(fake_engine):
    openai = pytest.importorskip("openai")
    talk = openai.OpenAI(base_url=fake_engine.url, api_key="x")
    ask = [{"role": "user", "content": "x"}]
    assert talk.chat.completions.create(model="fake", messages=ask).choices[0].message.content == "Hello."
    chunks = list(talk.chat.completions.create(model="fake", messages=ask, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello."
    assert talk.completions.create(model="fake", prompt="x").choices[0].text == "Hello."
    assert "".join(chunk.choices[0].text for chunk in talk.completions.create(model="fake", prompt="x", stream=True)) == "Hello."


def test_a_project_runs_swift_in_its_folder(swift_project, fake_engine):
    swift_project.write(
        {
            "questions/ask.jsonl": [{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}],
            "a.json": {"x": 1},
            "note.txt": "as it is",
        }
    )
    assert json.loads((swift_project.folder / "a.json").read_text()) == {"x": 1}
    outcome = swift_project.run("ask", "--url", fake_engine.url, "--dataset", "questions/ask.jsonl", "--json")
    outcome.assert_success()
    assert outcome.json()["status"] == "done"
    assert fake_engine.asked == ["Why?"]
    swift_project.run("sfd").assert_failure("there is no command 'sfd'")


def test_an_inline_plugin_lasts_as_long_as_its_test(inline_plugin):
    inline_plugin(swift_launchers=lambda: [LauncherSpec(name="moon", summary="Far", factory=Ref("x:Y"))])
    assert registry().get("launcher", "moon").summary == "Far"
    with pytest.raises(AssertionError, match="there is no hook 'swift_launcher'"):
        inline_plugin(name="other", swift_launcher=lambda: [])
    inline_plugin.close()
    assert "inline" not in plugins().found


class Rows:
    """The data set of the test below, which names it as a Ref: a test's own module will do."""

    def __init__(self, options):
        pass

    def fetch(self, progress=None):
        return (Path(__file__),)

    def rows(self):
        yield RawRow({"text": "a row"}, "inline", 1)


def test_an_inline_plugin_is_used_like_an_installed_one(inline_plugin):
    spec = DatasetSpec(name="inline-rows", summary="One row", rows=("text",), factory=Ref(f"{__name__}:Rows"))
    inline_plugin(swift_datasets=lambda: [spec])
    choice = registry().choose("dataset", "inline-rows")
    assert [row.data for row in choice.build().rows()] == [{"text": "a row"}]
