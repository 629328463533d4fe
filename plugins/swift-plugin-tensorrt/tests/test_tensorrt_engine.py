"""Checks of an engine export that run without TensorRT, which needs an NVIDIA GPU."""

from __future__ import annotations

import pytest
from swift_plugin_tensorrt.engine import graph_of, profile
from swift_plugin_tensorrt.engine_options import EngineOptions
from swift_testing.codes import coded

from swift_core import UsageError
from swift_core.checkpoints import Checkpoint
from swift_core.plugins.registered import registry


def test_dynamic_dimensions_are_batch_and_length():
    options = EngineOptions(batch_size=4, max_batch_size=16, length=64, max_length=256)
    assert profile((-1, -1), options) == ((1, 1), (4, 64), (16, 256))
    assert profile((-1, 7), options) == ((1, 7), (4, 7), (16, 7))


def test_a_decoder_with_a_kv_cache_is_rejected():
    with pytest.raises(UsageError, check=coded("SERVE-031")) as caught:
        profile((-1, 4, -1, -1), EngineOptions())
    assert "--to tensorrt" in caught.value.hint


def test_the_optimum_is_within_the_maximum():
    with pytest.raises(UsageError, check=coded("OPTION-005"), match="batch_size 64 is greater than max_batch_size 32"):
        registry().choose("exporter", "tensorrt-engine", {"batch_size": 64}).make_options()


def test_one_graph_per_folder(tmp_path):
    with pytest.raises(UsageError, check=coded("SERVE-030"), match="found none"):
        graph_of(tmp_path)
    (tmp_path / "model.onnx").touch()
    assert Checkpoint.at(tmp_path).format == "onnx"
    assert graph_of(tmp_path).name == "model.onnx"
    (tmp_path / "other.onnx").touch()
    with pytest.raises(UsageError, check=coded("SERVE-030"), match=r"model\.onnx, other\.onnx"):
        graph_of(tmp_path)
