"""It loads what transformers saved, and swift trains with it."""

from __future__ import annotations

import shutil

import torch
from swift_plugin_acme.loader import Acme
from swift_train.roles import Loading
from transformers import AutoModelForCausalLM

from swift_core.checkpoints import UNKNOWN

ROW = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}


def test_the_loaded_model_has_the_logits_of_the_checkpoint(tiny_model):
    loaded = Acme().load(tiny_model, UNKNOWN, Loading(device="cpu", dtype="float32"))
    ids = torch.arange(10)[None]
    assert torch.equal(loaded.model(ids).logits, AutoModelForCausalLM.from_pretrained(tiny_model).eval()(ids).logits)


def test_on_the_meta_device_no_weights_are_read(tiny_model, tmp_path):
    checkpoint = shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    loaded = Acme().load(checkpoint, UNKNOWN, Loading(device="meta", dtype="float32"))
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {"meta"}


def test_swift_trains_with_it(tiny_model, swift_project):
    swift_project.write({"rows.jsonl": [ROW] * 4})
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "1", "--device", "cpu")
    swift_project.run("sft", "--loader", "acme", *words).assert_success()
