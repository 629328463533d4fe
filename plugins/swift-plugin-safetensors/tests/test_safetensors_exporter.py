"""Copies of checkpoints and adapters: the same weights, in the requested dtype and shards."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from swift_plugin_safetensors.exporter import SafetensorsExporter
from swift_plugin_safetensors.options import SafetensorsOptions
from swift_plugin_safetensors.vllm_support import vllm_notes
from swift_testing.codes import coded
from swift_testing.kit.tiny import base, difference, logits, pretend_to_learn
from transformers import AutoModelForCausalLM, AutoTokenizer

import swift_core as api
from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import SwiftError, UsageError

pytestmark = pytest.mark.usefixtures("warm_workers")


def export(checkpoint, out, **options):
    return SafetensorsExporter(SafetensorsOptions(**options)).export(checkpoint, out)


@pytest.fixture
def adapter(tiny_model, tmp_path):
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    pretend_to_learn(model)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_many_files_are_the_same_model(tiny_model, tmp_path):
    out = export(tiny_model, tmp_path / "out", shard_size=1e-4)
    files = sorted(out.glob("*.safetensors"))
    assert len(files) > 2
    assert all(file.stat().st_size < 110_000 for file in files)
    assert difference(logits(base(tiny_model)), logits(base(out))) == 0
    assert AutoTokenizer.from_pretrained(out)("Paris").input_ids == AutoTokenizer.from_pretrained(tiny_model)("Paris").input_ids
    one = export(out, tmp_path / "one")
    assert [file.name for file in one.glob("*.safetensors")] == ["model.safetensors"]
    assert not (one / "model.safetensors.index.json").exists()
    assert difference(logits(base(tiny_model)), logits(base(one))) == 0


def test_the_weights_are_rounded_once(tiny_model, tmp_path):
    out = export(tiny_model, tmp_path / "out", type="bfloat16")
    expected = load_file(tiny_model / "model.safetensors")
    found = load_file(out / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name].bfloat16()) for name in expected)
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16


def test_an_adapter_alone(adapter, tiny_model, tmp_path):
    out = export(adapter, tmp_path / "out", type="float16", shard_size=1e-6)
    assert Checkpoint.at(out).format == "adapter"
    one, other = (PeftModel.from_pretrained(base(tiny_model), folder) for folder in (adapter, out))
    assert difference(logits(base(tiny_model)), logits(other)) > 0.1
    assert difference(logits(one), logits(other)) < 0.01
    assert {tensor.dtype for tensor in load_file(out / "adapter_model.safetensors").values()} == {torch.float16}


def test_a_quantized_checkpoint_is_copied_and_not_converted(tiny_model, tmp_path):
    folder = tmp_path / "quantized"
    export(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(UsageError, check=coded("EXPORT-061")):
        export(folder, tmp_path / "out", type="float16")
    assert export(folder, tmp_path / "copy").is_dir()


def test_values_out_of_range_leave_no_output(tiny_model, tmp_path):
    model = base(tiny_model)
    with torch.no_grad():
        model.model.norm.weight[0] = 1e6
    model.save_pretrained(tmp_path / "large")
    with pytest.raises(SwiftError, check=coded("EXPORT-062"), match=r"model\.norm\.weight"):
        export(tmp_path / "large", tmp_path / "out", type="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


def test_the_state_of_training_is_not_copied(adapter, tmp_path):
    for name in ("optimizer.pt", "trainer_state.json", "events.jsonl", "tokenizer.json", "chat_template.jinja"):
        (adapter / name).write_text("{}")
    out = export(adapter, tmp_path / "out")
    assert {path.name for path in out.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json", "chat_template.jinja",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "does not support DoRA"),
        ({"peft_type": "IA3"}, "this is IA3"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save (lm_head)"),
        ({"bias": "all"}, "with biases"),
        ({"rank_pattern": {"q_proj": 48}}, "--max-lora-rank 64"),
        ({"r": 1024}, "ranks up to 512"),
        ({}, ""),
    ],
)
def test_limits_of_vllm_are_reported(config, words, adapter):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    assert words in "".join(vllm_notes(adapter))
    assert bool(words) == bool(list(vllm_notes(adapter)))


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class Config(LlamaConfig):
    model_type = "mine"

class Model(LlamaForCausalLM):
    config_class = Config
"""


@pytest.mark.slow
def test_bundled_code_runs_only_if_it_is_trusted(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "mine")
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "architectures": ["Model"],
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
    }
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine" / "mine.py").write_text(OWN_CODE)
    with pytest.raises(UsageError, match="needs Python code") as refused:
        api.export("mine", "safetensors", output="out")
    assert "--trust-remote-code" in refused.value.hint
    assert not (tmp_path / "out").exists()
    done = api.export("mine", "safetensors", output="out", trust_remote_code=["mine"])
    assert done.figures["verified"]
    assert done.figures["kl"] == 0
    assert (tmp_path / "out" / "mine.py").is_file()
