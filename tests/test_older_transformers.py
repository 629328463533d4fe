"""A checkpoint of our time, as an engine reads it that ended with transformers 4: the same angles, the same type."""

from __future__ import annotations

import json

import pytest
from swift_convert.transformers4 import as_the_source, older_view
from swift_testing.codes import coded

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import UsageError


@pytest.fixture
def checkpoint(tmp_path):
    def make(**config):
        folder = tmp_path / "new"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "tokenizer.json").write_text("{}")
        return folder

    return make


def test_rotary_settings_and_the_type_go_where_they_were(checkpoint, tmp_path):
    rotary = {"rope_theta": 100000.0, "rope_type": "linear", "factor": 2.0}
    older = older_view(checkpoint(model_type="llama", dtype="bfloat16", rope_parameters=rotary), tmp_path / "old")
    assert Checkpoint.at(older).config == {
        "model_type": "llama",
        "rope_theta": 100000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
        "torch_dtype": "bfloat16",
    }
    assert (older / "model.safetensors").read_bytes() == b"weights"


def test_the_default_needs_no_scaling(checkpoint, tmp_path):
    older = older_view(checkpoint(rope_parameters={"rope_theta": 1e4, "rope_type": "default"}), tmp_path / "old")
    assert Checkpoint.at(older).config == {"rope_theta": 1e4}


def test_what_the_older_form_can_not_say_is_refused(checkpoint, tmp_path):
    with pytest.raises(UsageError, check=coded("CONVERT-029")):
        older_view(checkpoint(rope_parameters={"full_attention": {"rope_theta": 1e6}}), tmp_path / "old")


def test_the_result_reads_as_its_source(checkpoint, tmp_path):
    source = checkpoint(rope_parameters={"rope_theta": 1e5, "rope_type": "default"}, dtype="bfloat16")
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text(json.dumps({"rope_theta": 1e5, "quantization_config": {"quant_method": "awq"}}))
    as_the_source(source, out, "float16")
    config = Checkpoint.at(out).config
    assert config["rope_parameters"] == {"rope_theta": 1e5, "rope_type": "default"}
    assert config["quantization_config"] == {"quant_method": "awq"}
    assert config["dtype"] == "float16"
    assert (out / "tokenizer.json").is_file()
    assert not (out / "model.safetensors").exists()
