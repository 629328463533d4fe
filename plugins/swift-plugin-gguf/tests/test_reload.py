"""Features that transformers' GGUF reader ignores are exported, and reported as not verified rather than as an error."""

from __future__ import annotations

import gguf
import pytest
from swift_plugin_gguf.exporter import GgufExporter
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_gguf.reload import load
from swift_plugin_transformers.loader import TransformersLoader
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model
from swift_train.roles import Loading

from swift_core.checkpoints.family import UNKNOWN
from swift_core.contract.errors import UsageError


@pytest.mark.parametrize("biases", ["attention_bias", "mlp_bias"])
def test_a_llama_with_biases(biases, tmp_path):
    checkpoint = write_tiny_model(tmp_path / "model", **{biases: True})
    file = GgufExporter(GgufOptions(type="f16")).export(checkpoint, tmp_path / "out")
    assert any(tensor.name.endswith(".bias") for tensor in gguf.GGUFReader(file).tensors)
    with pytest.raises(NotImplementedError, match=r"bias"):
        load(file.parent)
    with pytest.raises(UsageError, check=coded("MODEL-016")) as refused:  # training without the biases is rejected too
        TransformersLoader().load(file.parent, UNKNOWN, Loading(device="cpu", dtype="float32"))
    assert refused.value.where == str(file)


def test_a_supported_file_is_loaded(tiny_model, tmp_path):
    file = GgufExporter(GgufOptions(type="f16")).export(tiny_model, tmp_path / "out")
    assert load(file.parent).vocabulary == 320
