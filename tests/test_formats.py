"""What a backend reads is served as it is; what it does not read is converted, or refused with the names of those that read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.fetch import Fetcher
from swift_core.contract.errors import UsageError
from swift_core.contract.run import Choice
from swift_core.contract.specs import BackendSpec, LoaderSpec, Ref
from swift_core.plugins.loader import Plugin
from swift_core.plugins.registered import Entry, registry
from swift_core.runs import convert

GGUF, OPENVINO, SAFETENSORS = "gguf", "openvino", "safetensors"


class Known:
    """A registry with two backends and one loader that converts GGUF."""

    specs = {  # noqa: RUF012
        "backend": [
            BackendSpec(name="one", summary="x", factory=Ref("a:b"), reads=(SAFETENSORS,)),
            BackendSpec(name="other", summary="x", factory=Ref("a:b"), reads=(GGUF, OPENVINO)),
        ],
        "loader": [
            LoaderSpec(name="plain", summary="x", factory=Ref("a:b"), reads=(SAFETENSORS,)),
            LoaderSpec(name="maker", summary="x", factory=Ref("a:b"), reads=(GGUF,), converts=(GGUF,), converter=Ref("a:convert")),
        ],
    }

    def entries(self, kind):
        plugin = Plugin(name="test", distribution="test", version="1", target="test")
        return [Entry(spec, plugin) for spec in self.specs.get(kind, [])]

    def all(self, kind):
        return self.specs[kind]

    def choose(self, kind, name, options=None, *, origin="", where=""):
        return Choice(kind=kind, name=name, plugin=origin, distribution="test", version="1", factory="a:b")


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "model.gguf").write_text("weights")
    return tmp_path


@pytest.fixture
def converted(monkeypatch, tmp_path_factory):
    """The runs that would have converted."""
    runs = []

    def execute(run, runs_folder, **more):
        runs.append(run)
        made = Path(run.options["output"])
        made.mkdir(parents=True)
        (made / "config.json").write_text('{"model_type": "llama"}')
        (made / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")  # a header, and no tensors

    monkeypatch.setenv("SWIFT_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("swift_core.runs.convert.execute", execute)
    monkeypatch.setattr(Fetcher, "_family", lambda *arguments: ("", ""))
    monkeypatch.setattr(Fetcher, "folder", lambda self, reference, where: Path(reference.name))
    return runs


def source(folder, **more):
    return Fetcher(Known(), convert=convert.converted, **more).source(f"file:{folder}", "model")


def test_a_backend_that_reads_it_gets_it_as_it_is(folder, converted):
    assert source(folder, reads=(GGUF,), reader="other").path == str(folder)
    assert converted == []


def test_a_backend_that_does_not_gets_its_conversion(folder, converted):
    made = source(folder, reads=(SAFETENSORS,), reader="one")
    assert made.format == SAFETENSORS
    assert [(run.job, run.parts["loader"].name) for run in converted] == [("a:convert", "maker")]


def test_what_nothing_converts_is_refused_by_name(tmp_path, converted):
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    (tmp_path / "openvino_model.bin").write_text("weights")
    with pytest.raises(UsageError, match=r"one reads safetensors checkpoints, and 'file:.*' is openvino") as error:
        source(tmp_path, reads=(SAFETENSORS,), reader="one")
    assert error.value.hint == "These read it: other."
    assert converted == []


def test_openvino_folders(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({}))
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    (tmp_path / "openvino_model.bin").write_text("one")
    assert Checkpoint.at(tmp_path).format == OPENVINO
    before = Checkpoint.at(tmp_path).hash()
    (tmp_path / "openvino_model.bin").write_text("two")
    assert Checkpoint.at(tmp_path).hash() != before


def test_serve_asks_the_backend_what_it_reads(folder, monkeypatch):
    """The whole way: the backend chosen by a user decides."""
    from swift_core.options.settings import Settings
    from swift_core.plugins.verb_names import verb_named
    from swift_core.runs.resolution import resolve

    asked = {}

    def model(self, text, where="model"):
        asked.update(reads=self.reads, reader=self.reader)
        raise UsageError("seen")

    monkeypatch.setattr(Fetcher, "model", model)
    with pytest.raises(UsageError, match="seen"):
        resolve(verb_named("serve"), Settings({"model": str(folder), "backend": "transformers"}))
    assert asked == {"reads": registry().get("backend", "transformers").reads, "reader": "transformers"}
