"""Runs that GPTQModel can't do are rejected before anything is loaded."""

from __future__ import annotations

import pytest
from swift_plugin_gptqmodel import swift_check
from swift_testing.codes import coded

from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry


@pytest.fixture
def found(tiny_model):
    """Returns the problems of a run with a quantizer on the tiny model, whose widest layer has 128 inputs."""

    def ask(name, tokens=4096, **options):
        source = Source(reference="file:tiny", path=str(tiny_model), hash="", format="safetensors", family="llama")
        choice = registry().choose("quantizer", name, {"group_size": 32, **options})
        run = Run(verb="quantize", job="", model=source, parts={"quantizer": choice}, options={"calibration": {"tokens": tokens}})
        return list(swift_check(run))

    return ask


def test_the_defaults_have_no_problems(found):
    assert found("gptq-native") == found("awq-native") == found("gptq") == []


def test_gptq_needs_as_many_tokens_as_the_widest_layer_has_inputs(found):
    (problem,) = found("gptq-native", tokens=127)
    assert problem.where == "calibration.tokens"
    assert "at least 128 calibration tokens" in problem.message
    assert problem.hint.endswith("--calibration.tokens 1024.")
    assert found("gptq-native", tokens=128) == found("awq-native", tokens=127) == []


def test_a_compiler_is_required(found, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    (problem,) = found("awq-native")
    assert "no C++ compiler" in problem.message
    compiler = tmp_path / "my-compiler"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", "my-compiler")
    assert found("awq-native") == []
    assert found("gptq") == []


def test_other_tools_names(found):
    known = registry()
    assert known.choose("quantizer", "gptqmodel", {"group_size": -1}).name == "gptq-native"
    with pytest.raises(Exception, check=coded("OPTION-005"), match="group_size"):
        known.choose("quantizer", "gptq-native", {"group_size": 48})
