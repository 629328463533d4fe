"""The named sets: an archive of the same layout on this machine, and the specs that offer them."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
import swift_plugin_datasets
from pydantic import ValidationError
from swift_data.rows import form_of, normalise
from swift_plugin_datasets import demos
from swift_plugin_datasets.hub import HubDataset
from swift_plugin_datasets.options import HubOptions, IdentityOptions
from swift_testing.codes import coded
from swift_testing.servers import FileServer

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import SwiftError, UsageError

FILES = {
    "data/identity.json": '[{"instruction": "Who?", "input": "", "output": "{{name}} by {{author}}."}]',
    "data/alpaca_en_demo.json": '[{"instruction": "a", "input": "", "output": "{{name}}"}]',
    "data/wiki_demo.txt": "One.\nTwo.\n",
    "data/deeper/x.json": "[]",
    "setup.py": "raise SystemExit",
    "LICENSE": "Apache",
}


@pytest.fixture
def index(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, contents in FILES.items():
            item = tarfile.TarInfo(f"llamafactory-0.9.5/{name}")
            item.size = len(contents)
            file.addfile(item, io.BytesIO(contents.encode()))
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path))
    with FileServer() as server:
        server.add("llamafactory", "llamafactory-0.9.5.tar.gz", buffer.getvalue())
        monkeypatch.setenv("PIP_INDEX_URL", server.index)
        monkeypatch.setattr(demos, "_SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
        yield server


def test_only_data_is_kept_and_fetched_once(index):
    (path,) = demos.wiki_demo(None).fetch()
    assert sorted(item.name for item in path.parent.iterdir()) == [
        "LICENSE",
        "alpaca_en_demo.json",
        "identity.json",
        "swift.json",
        "wiki_demo.txt",
    ]
    manifest = Checkpoint.at(path.parent).manifest
    assert (manifest.kind, manifest.origin) == ("dataset", "pypi:llamafactory==0.9.5")
    assert "unverified" in manifest.licence
    asked = len(index.requests)
    assert [row.data["text"] for row in demos.wiki_demo(None).rows()] == ["One.", "Two."]
    assert len(index.requests) == asked


def test_identity_fills_name_and_author_and_the_others_nothing(index):
    (row,) = demos.identity(IdentityOptions(model_name="Kit", model_author="Ada")).rows()
    assert row.data["output"] == "Kit by Ada."
    assert next(demos.alpaca_en_demo(None).rows()).data["output"] == "{{name}}"
    with pytest.raises(ValidationError):
        IdentityOptions(model_name="Kit")


def test_another_archive_is_refused(index, monkeypatch):
    monkeypatch.setattr(demos, "_SHA256", "0" * 64)
    with pytest.raises(SwiftError, check=coded("HUB-005")):
        demos.wiki_demo(None).fetch()


def test_offline(index, monkeypatch):
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    with pytest.raises(UsageError, check=coded("FILE-001"), match="offline, and"):
        demos.wiki_demo(None).fetch()


@pytest.mark.full("data")
def test_the_real_archive_has_what_the_specs_say():
    for spec in swift_plugin_datasets.swift_datasets():
        if spec.name in ("file", "hub"):
            continue
        options = IdentityOptions(model_name="Kit", model_author="Ada") if spec.name == "identity" else None
        rows = list(spec.factory.load()(options).rows())
        assert str(len(rows)) in spec.summary
        assert {form_of(row.data).kind for row in rows} == set(spec.rows)
        if spec.rows[0] in ("chat", "text"):
            assert len([normalise(row, spec.rows) for row in rows]) == len(rows)


def test_every_named_set_has_its_factory():
    for spec in swift_plugin_datasets.swift_datasets():
        assert callable(spec.factory.load())
        assert spec.options is None or spec.options.load().model_fields


def test_a_data_set_of_a_hub_folder(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    (tmp_path / "org" / "set").mkdir(parents=True)
    (tmp_path / "org" / "set" / "train.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for streaming in (False, True):
        found = HubDataset(HubOptions(path="hf:org/set", streaming=streaming))
        files = found.fetch()
        assert len(files) == (0 if streaming else 1)
        assert all(file.is_file() for file in files)
        assert [(row.data, row.file, row.number) for row in found.rows()][1] == ({"text": "Two."}, "hf:org/set train", 2)
        with pytest.raises(UsageError, check=coded("DATA-126"), match="test"):
            HubDataset(HubOptions(path="org/set", split="test", streaming=streaming)).fetch()
        with pytest.raises(UsageError, check=coded("DATA-126"), match="'sub' not found"):
            HubDataset(HubOptions(path="org/set", subset="sub", streaming=streaming)).fetch()


@pytest.mark.parametrize("streaming", [False, True])
def test_images_of_a_hub_data_set_come_as_they_were_stored(tmp_path, monkeypatch, streaming):
    datasets = pytest.importorskip("datasets")
    import pyarrow as arrow
    from pyarrow import parquet

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"text": "a", "images": [{"bytes": b"no image", "path": None}], "system": None}]
    features = datasets.Features(
        {"text": datasets.Value("string"), "images": datasets.List(datasets.Image()), "system": datasets.Value("string")}
    )
    (tmp_path / "org" / "set").mkdir(parents=True)
    table = arrow.Table.from_pylist(rows, schema=features.arrow_schema)  # its metadata says that these are images
    parquet.write_table(table, tmp_path / "org" / "set" / "train.parquet")
    assert [row.data for row in HubDataset(HubOptions(path="org/set", streaming=streaming)).rows()] == rows


def test_rows_of_a_hub_data_set_are_checked(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    (tmp_path / "org" / "set").mkdir(parents=True)
    (tmp_path / "org" / "set" / "train.jsonl").write_text('{"text": "a"}\n{"text": "\\u0000"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    good, bad = HubDataset(HubOptions(path="org/set", streaming=True)).rows()
    assert good.fault is None
    assert "NUL" in bad.fault.message
    assert bad.fault.where == "hf:org/set train, row 2, $.text"


def test_a_data_set_of_another_hub():
    with pytest.raises(UsageError, check=coded("DATA-125")):
        HubDataset(HubOptions(path="pypi:set"))


@pytest.mark.parametrize("offline", [False, True])
def test_a_data_set_of_modelscope(tmp_path, monkeypatch, offline):
    pytest.importorskip("datasets")
    asked = []

    def download(name, **options):
        asked.append((name, options["revision"], options["repo_type"], options["local_files_only"]))
        assert "*.py" in options["ignore_patterns"]
        return str(tmp_path / "set")

    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    monkeypatch.setattr(pytest.importorskip("modelscope.hub.snapshot_download"), "snapshot_download", download)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("SWIFT_OFFLINE", "1" if offline else "")
    assert [row.data["text"] for row in HubDataset(HubOptions(path="ms:org/set@v1")).rows()] == ["a", "b"]
    assert asked == [("org/set", "v1", "dataset", offline)]


def test_a_data_set_that_modelscope_does_not_have(monkeypatch):
    errors = pytest.importorskip("modelscope_hub.errors")

    def refuse(*_, **__):
        raise errors.NotExistError("no such data set")

    monkeypatch.setattr(pytest.importorskip("modelscope.hub.snapshot_download"), "snapshot_download", refuse)
    with pytest.raises(UsageError, match="HUB-028"):
        HubDataset(HubOptions(path="ms:org/absent")).fetch()


def test_a_hub_data_set_offline(monkeypatch, tmp_path):
    pytest.importorskip("datasets")
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("a name was looked up"))
    with pytest.raises(UsageError, check=coded("FILE-001"), match="'hf:org/absent'"):
        HubDataset(HubOptions(path="org/absent")).fetch()
    with pytest.raises(UsageError, check=coded("FILE-001"), match="offline, and 'hf:org/absent', to be streamed"):
        HubDataset(HubOptions(path="org/absent", streaming=True)).fetch()
