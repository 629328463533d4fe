"""torch.onnx export of small random models, compared with transformers: `make test-full LANE=export`, after `swift env create onnx`."""

from __future__ import annotations

import json

import pytest
from swift_testing.rig import tiny_tokenizer

import swift_core as api
from swift_core.contract.errors import SwiftError, UsageError

pytestmark = pytest.mark.full("export")
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "initializer_range": 0.2}


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Writes a random checkpoint of a transformers class, given the names of the class and of its configuration."""
    monkeypatch.chdir(tmp_path)

    def write(kind, config, **values):
        import torch
        import transformers

        tokenizer = tiny_tokenizer()
        torch.manual_seed(0)
        values = {**SIZES, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **values}
        getattr(transformers, kind)(getattr(transformers, config)(**values)).save_pretrained("model")
        tokenizer.save_pretrained("model")
        return tmp_path / "model"

    return write


@pytest.mark.parametrize(
    ("kind", "config", "method"),
    [
        ("BertForSequenceClassification", "BertConfig", "sequence classifier"),
        ("RobertaForSequenceClassification", "RobertaConfig", "sequence classifier"),
        ("LlamaForSequenceClassification", "LlamaConfig", "sequence classifier"),
        ("DebertaV2ForTokenClassification", "DebertaV2Config", "token classifier"),
        ("LlamaForTokenClassification", "LlamaConfig", "token classifier"),
        ("BertModel", "BertConfig", "embedder"),
        ("ModernBertModel", "ModernBertConfig", "embedder"),
        ("GPTNeoXForCausalLM", "GPTNeoXConfig", "decoder"),
    ],
)
def test_the_graph_reproduces_the_model(kind, config, method, checkpoint):
    done = api.export(checkpoint(kind, config, num_labels=3), "onnx", output="out")
    assert done.figures["verified"]
    assert (done.figures["exported_by"], done.figures["exported_as"]) == ("torch.onnx", method)
    assert done.figures["max_difference"] < 1e-5 * max(1, done.figures["max_output"])
    files = {path.name for path in done.output.iterdir()}
    assert {"model.onnx", "model.onnx.data", "config.json", "tokenizer.json", "tokenizer_config.json", "swift.json"} <= files
    assert not any(name.endswith(".safetensors") for name in files)
    assert "has verified the result itself" in (done.folder / "events.jsonl").read_text()


@pytest.mark.parametrize(
    ("kind", "config", "pooling"),
    [
        ("BertModel", "BertConfig", {"pooling_mode_mean_tokens": True}),
        ("MPNetForMaskedLM", "MPNetConfig", {"pooling_mode": "cls"}),
        ("Qwen3ForCausalLM", "Qwen3Config", {"pooling_mode_lasttoken": True}),
    ],
)
def test_a_sentence_transformers_model_gives_one_vector_per_text(kind, config, pooling, checkpoint):
    model = checkpoint(kind, config, num_key_value_heads=2)
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{name}"} for path, name in kinds.items()]
    (model / "modules.json").write_text(json.dumps(modules))
    for type_ in ("fp32", "fp16"):
        figures = api.export(model, "onnx", type=type_, output=type_).figures
        assert figures["pooling"] in next(iter(pooling.values() if "pooling_mode" in pooling else pooling))
        assert figures["normalized"]
        assert 0.05 < figures["max_output"] <= 1
        assert figures["max_difference"] < {"fp32": 1e-5, "fp16": 0.03}[type_]


def test_half_precision_has_half_the_size(checkpoint):
    model = checkpoint("BertModel", "BertConfig")
    whole, half = (api.export(model, "onnx", type=type_, output=type_) for type_ in ("fp32", "fp16"))
    assert 1e-5 < half.figures["max_difference"] < 0.03 * half.figures["max_output"]
    size = {done.output: (done.output / "model.onnx.data").stat().st_size for done in (whole, half)}
    assert size[half.output] == pytest.approx(size[whole.output] / 2, rel=0.05)


def test_a_graph_that_holds_for_one_length_only_is_an_error(checkpoint, tmp_path):
    """Mamba iterates over the tokens in a Python loop, which the trace unrolls."""
    model = checkpoint("MambaForCausalLM", "MambaConfig")
    with pytest.raises(SwiftError, match="does not reproduce the model"):
        api.export(model, "onnx", output="out")
    assert not (tmp_path / "out").exists()


def test_missing_head_weights_are_an_error(checkpoint):
    model = checkpoint("BertModel", "BertConfig")
    config = (model / "config.json").read_text()
    (model / "config.json").write_text(config.replace('"BertModel"', '"BertForSequenceClassification"'))
    with pytest.raises(UsageError, match=r"lacks weights: classifier\.bias"):
        api.export(model, "onnx", output="out")
