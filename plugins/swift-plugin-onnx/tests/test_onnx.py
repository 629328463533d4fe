"""What is refused without onnxruntime; with it: `make test-full LANE=export`, after `swift env create onnx`."""

from __future__ import annotations

import json

import pytest
from swift_plugin_onnx import swift_check
from swift_plugin_onnx.architectures import check_architecture

from swift_core import api
from swift_core.errors import UsageError
from swift_core.registry import registry
from swift_core.run import Run, Source


def run_with(folder, **options):
    source = Source(reference="file:tiny", path=str(folder), hash="", format="safetensors", family="")
    return Run(verb="export", job="", model=source, parts={"exporter": registry().choose("exporter", "onnx", options)})


def test_what_the_builder_knows_is_taken(tiny_model):
    check_architecture(tiny_model)
    assert list(swift_check(run_with(tiny_model))) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM"), ({"quantization_config": {"quant_method": "gptq"}}, "quantized")],
)
def test_what_it_does_not_know_is_refused_before_anything_is_started(changed, message, tiny_model, tmp_path):
    config = json.loads((tiny_model / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changed}))
    (tmp_path / "model.safetensors").touch()
    (problem,) = swift_check(run_with(tmp_path))
    assert problem.fatal
    assert message in problem.message
    assert problem.hint


def test_plain_four_bits_are_warned_of(tiny_model):
    (problem,) = swift_check(run_with(tiny_model, type="int4", plain=True))
    assert not problem.fatal


def test_a_gguf_folder_is_no_source(tmp_path):
    (tmp_path / "model.gguf").touch()
    with pytest.raises(UsageError, match="this is gguf"):
        check_architecture(tmp_path)


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
