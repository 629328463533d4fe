"""Checks that need no onnxruntime; the export itself: `make test-full LANE=export`, after `swift env create onnx`."""

from __future__ import annotations

import json

import pytest
from swift_plugin_onnx import swift_check
from swift_plugin_onnx.architectures import export_method
from swift_testing.codes import coded

import swift_core as api
from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry


def run_with(folder, **options):
    source = Source(reference="file:tiny", path=str(folder), hash="", format="safetensors", family="")
    return Run(verb="export", job="", model=source, parts={"exporter": registry().choose("exporter", "onnx", options)})


def folder_of(folder, **config):
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    return folder


def test_the_builder_is_used_if_it_supports_the_architecture(tiny_model):
    assert export_method(tiny_model) == "builder"
    assert list(swift_check(run_with(tiny_model))) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architectures": ["T5ForConditionalGeneration"]}, "T5ForConditionalGeneration"),
        ({"architectures": ["T5Model"], "is_encoder_decoder": True}, "T5Model"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized"),
    ],
)
def test_unsupported_checkpoints_are_rejected_before_the_export(changed, message, tmp_path):
    (problem,) = swift_check(run_with(folder_of(tmp_path, **changed)))
    assert problem.fatal
    assert message in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("architecture", "method"),
    [
        ("RobertaForSequenceClassification", "sequence classifier"),
        ("LlamaForSequenceClassification", "sequence classifier"),
        ("DistilBertForTokenClassification", "token classifier"),
        ("BertModel", "embedder"),
        ("GPTNeoXForCausalLM", "decoder"),
        ("GPT2LMHeadModel", "decoder"),
    ],
)
def test_the_export_method_follows_from_the_architecture(architecture, method, tmp_path):
    assert export_method(folder_of(tmp_path, architectures=[architecture])) == method
    problem = next(swift_check(run_with(tmp_path, type="int4")))
    assert problem.fatal
    assert problem.where == "type"


def test_a_decoder_without_a_kv_cache_is_warned_of(tmp_path):
    (problem,) = swift_check(run_with(folder_of(tmp_path, architectures=["GPTNeoXForCausalLM"])))
    assert not problem.fatal
    assert "KV cache" in problem.message


def test_plain_int4_is_warned_of(tiny_model):
    (problem,) = swift_check(run_with(tiny_model, type="int4", plain=True))
    assert not problem.fatal


def test_a_gguf_folder_is_rejected(tmp_path):
    (tmp_path / "model.gguf").touch()
    with pytest.raises(UsageError, check=coded("EXPORT-002"), match="found gguf"):
        export_method(tmp_path)


@pytest.mark.full("export")
def test_smollm2_in_32_and_4_bits(smollm2, tmp_path, monkeypatch):
    """Each is compared with the checkpoint in onnxruntime-genai."""
    monkeypatch.chdir(tmp_path)
    whole = api.export(smollm2, "onnx", type="fp32", output="fp32")
    assert {"model.onnx", "model.onnx.data", "genai_config.json", "tokenizer.json", "swift.json"} <= {
        path.name for path in whole.output.iterdir()
    }
    assert whole.figures["verified"]
    assert whole.figures["kl"] < 1e-6
    assert whole.figures["max_logit_difference"] < 1e-2
    few = api.export(smollm2, "onnx", type="int4", output="int4")
    plain = api.export(smollm2, "onnx", type="int4", plain=True, output="plain")
    assert whole.figures["kl"] < few.figures["kl"] < plain.figures["kl"]
    assert few.figures["bytes"] < 0.3 * whole.figures["bytes"]
