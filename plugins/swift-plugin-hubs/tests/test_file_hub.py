"""Folders as checkpoints."""

from __future__ import annotations

import pytest
from swift_plugin_hubs.file import FileHub
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError
from swift_core.contract.reference import parse_reference
from swift_core.plugins import checkpoint_files


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    return folder


def fetch(path):
    return FileHub().fetch(parse_reference(f"file:{path}"), select=checkpoint_files)


def test_a_folder_is_used_where_it_is(folder):
    assert fetch(folder) == folder


def test_a_gguf_file_stands_for_its_folder(tmp_path):
    (tmp_path / "a.gguf").write_text("weights")
    assert fetch(tmp_path / "a.gguf") == tmp_path
    (tmp_path / "b.gguf").write_text("weights")
    with pytest.raises(UsageError, check=coded("HUB-015"), match=r"GGUF.*\(b\.gguf\)"):
        fetch(tmp_path / "a.gguf")


def test_what_is_no_checkpoint(folder, tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'model'"):
        fetch(tmp_path / "modle")
    with pytest.raises(UsageError, check=coded("HUB-016")) as caught:
        fetch(folder / "config.json")
    assert str(folder) in caught.value.hint
    (tmp_path / "train.py").write_text("print()")
    with pytest.raises(UsageError, check=coded("HUB-016")) as caught:
        fetch(tmp_path / "train.py")
    assert str(tmp_path) not in caught.value.hint
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, check=coded("PLUGIN-010")):
        fetch(folder)


def test_push_copies_to_a_free_path(folder, tmp_path):
    target = FileHub().push(folder, parse_reference(f"file:{tmp_path / 'copy'}"), message="m", private=True)
    assert fetch(target) == tmp_path / "copy"
    with pytest.raises(UsageError, check=coded("FILE-004")):
        FileHub().push(folder, parse_reference(f"file:{target}"), message="m", private=True)
