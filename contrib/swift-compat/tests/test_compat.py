"""The exported names are those of swift_core, and ms-swift's `export_awq_model` is `swift quantize`."""

from __future__ import annotations

import pytest
import swift
from swift import checkpoint
from swift_testing.codes import coded

import swift_core
from swift_core.contract.errors import SwiftError
from swift_core.environments import EngineAbsent


def test_the_names_are_the_cores():
    assert swift.get_model is swift_core.get_model
    own = {"export_awq_model"}
    assert all(getattr(swift, name) is getattr(swift_core, name) for name in swift.__all__ if name not in own)


def test_awq_needs_its_engine(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    with pytest.raises(EngineAbsent, check=coded("ENV-028"), match="quantizer 'awq'"):
        swift.export_awq_model("llama", tiny_model, tmp_path / "out", 1, 512)
    assert not (tmp_path / "out").exists()


def test_arguments_become_options(tiny_model, tmp_path):
    with pytest.raises(SwiftError, check=coded("OPTION-005"), match=r"calibration\.max_length|max_length"):
        swift.export_awq_model(None, tiny_model, tmp_path / "out", batch_size=4, seqlen=1)


def test_the_checkpoint_says_its_family_and_a_group_size_that_divides(tiny_model, tmp_path):
    with pytest.warns(UserWarning, match="family 'llama', not 'qwen2'"):
        assert checkpoint.facts(tiny_model, "qwen2") == ("llama", 64)  # of 64 and 128 inputs
    assert checkpoint.facts(tiny_model, None) == ("llama", 64)
    assert checkpoint.facts(tmp_path / "org/name", "qwen2_5") == ("", 128)
