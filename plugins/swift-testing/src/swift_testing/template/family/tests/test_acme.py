"""A checkpoint with the architecture is recognised as this family, and all modules that the family names are in the model."""

from __future__ import annotations

import json
import shutil

import pytest
from swift_plugin_acme import swift_families
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.checkpoints import Checkpoint, identify
from swift_core.contract import ModelFamily
from swift_core.plugins import registry

(FAMILY,) = swift_families()


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["AcmeForCausalLM"]}))
    return folder


def test_its_checkpoints_are_recognised(checkpoint):
    assert identify(Checkpoint.at(checkpoint).config, registry().all(ModelFamily)) == FAMILY


def test_the_modules_that_it_names_exist(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    modules = dict(model.named_modules())
    assert {FAMILY.blocks, FAMILY.embeddings, FAMILY.head} <= set(modules)
    for target in FAMILY.targets:
        assert any(name.startswith(FAMILY.blocks) and name.endswith(f".{target}") for name in modules), target


def test_its_stop_tokens_are_single_tokens(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    for token in FAMILY.stop_tokens:
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1


def test_swift_trains_an_adapter_on_it(checkpoint, swift_project):
    row = {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "Acme."}]}
    swift_project.write({"rows.jsonl": [row] * 2})
    words = ("--model", str(checkpoint), "--dataset", "rows.jsonl", "--max-steps", "1", "--device", "cpu", "--json")
    outcome = swift_project.run("sft", *words)
    outcome.assert_success()
