"""Split GGUF models: file names as llama.cpp's, and the same bytes after merging."""

from __future__ import annotations

import gguf
import pytest
from swift_plugin_gguf.exporter import GgufExporter
from swift_plugin_gguf.options import GgufOptions, SplitOptions
from swift_plugin_gguf.shards import model_files
from swift_plugin_gguf.split import GgufSplit, tensor_hashes
from swift_testing.codes import coded
from swift_testing.kit.tiny import base, difference, inputs, logits

from swift_core.contract.errors import UsageError


@pytest.fixture
def whole(tiny_model, tmp_path):
    return GgufExporter(GgufOptions(type="q8_0")).export(tiny_model, tmp_path / "whole")


def test_split_and_merge(whole, tmp_path):
    first = GgufSplit(SplitOptions(shard_size=1e-4)).export(whole.parent, tmp_path / "cut")
    files = model_files(first.parent)
    assert len(files) > 1
    assert first.name == f"model-Q8_0-00001-of-{len(files):05d}.gguf"
    assert gguf.GGUFReader(first).fields["split.count"].contents() == len(files)
    assert tensor_hashes(files) == tensor_hashes([whole])
    again = GgufSplit(SplitOptions()).export(first.parent, tmp_path / "again")
    assert again.name == whole.name
    one, other = gguf.GGUFReader(whole), gguf.GGUFReader(again)
    assert {name: field.contents() for name, field in one.fields.items() if not name.startswith("GGUF.")} == {
        name: field.contents() for name, field in other.fields.items() if not name.startswith("GGUF.")
    }
    assert tensor_hashes([again]) == tensor_hashes([whole])


def test_several_files_are_loaded_as_one(tiny_model, tmp_path):
    import torch

    exporter = GgufExporter(GgufOptions(type="f32", shard_size=1e-4))
    loaded = exporter.load(exporter.export(tiny_model, tmp_path / "cut"))
    expected = logits(base(tiny_model))
    for row, each in zip(inputs().tolist(), expected, strict=True):
        assert difference(torch.tensor(loaded.logits(row)), each) < 1e-4
    assert not [path for path in (tmp_path / "cut").iterdir() if path.is_dir()]


def test_incomplete_and_ambiguous_folders_are_rejected(whole, tmp_path):
    first = GgufSplit(SplitOptions(shard_size=1e-4)).export(whole.parent, tmp_path / "cut")
    count = len(model_files(first.parent))
    first.unlink()
    with pytest.raises(UsageError, match=f"{count - 1} of the model's {count} files"):
        GgufSplit(SplitOptions()).export(first.parent, tmp_path / "out")
    (whole.parent / "other.gguf").write_bytes(whole.read_bytes())
    with pytest.raises(UsageError, check=coded("EXPORT-033"), match="several GGUF models"):
        GgufSplit(SplitOptions()).export(whole.parent, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, check=coded("EXPORT-032"), match="no GGUF file"):
        GgufSplit(SplitOptions()).export(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()
