"""Checkpoint formats are plugins: a third party's works everywhere, and what a backend does not read is converted or refused by name."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swift_testing.codes import coded

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.fetch import Fetcher
from swift_core.contract.errors import UsageError
from swift_core.contract.format import FormatSpec
from swift_core.contract.run import Choice
from swift_core.contract.specs import BackendSpec, LoaderSpec, Ref
from swift_core.plugins.loader import Plugin
from swift_core.plugins.registered import Entry, registry
from swift_core.runs import convert

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
GGUF, OPENVINO, SAFETENSORS = "gguf", "openvino", "safetensors"


class Known:
    """A registry with two backends and one loader that converts GGUF."""

    specs = {  # noqa: RUF012
        BackendSpec: [
            BackendSpec(name="one", summary="x", factory=Ref("a:b"), reads=(SAFETENSORS,)),
            BackendSpec(name="other", summary="x", factory=Ref("a:b"), reads=(GGUF, OPENVINO)),
        ],
        LoaderSpec: [
            LoaderSpec(name="plain", summary="x", factory=Ref("a:b"), reads=(SAFETENSORS,)),
            LoaderSpec(name="maker", summary="x", factory=Ref("a:b"), reads=(GGUF,), converts=(GGUF,), converter=Ref("a:convert")),
        ],
    }

    def entries(self, kind):
        plugin = Plugin(name="test", distribution="test", version="1", target="test")
        return [Entry(spec, plugin) for spec in self.specs.get(kind, [])]

    def all(self, kind):
        return self.specs.get(kind, [])

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
    with pytest.raises(UsageError, check=coded("CKPT-028"), match=r"one reads safetensors checkpoints, and 'file:.*' is openvino") as error:
        source(tmp_path, reads=(SAFETENSORS,), reader="one")
    assert error.value.hint == "These can read it: other."
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
    from swift_core.contract import Settings
    from swift_core.plugins.verb_names import verb_named
    from swift_core.runs.resolution import resolve

    asked = {}

    def model(self, text, where="model"):
        asked.update(reads=self.reads, reader=self.reader)
        raise UsageError("seen")

    monkeypatch.setattr(Fetcher, "model", model)
    with pytest.raises(UsageError, match="seen"):
        resolve(verb_named("serve"), Settings({"model": str(folder), "backend": "transformers"}))
    assert asked == {"reads": registry().get(BackendSpec, "transformers").reads, "reader": "transformers"}


EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "format_plugin.py"
CHECKS = [
    "check_patterns",
    "check_format_is_unambiguous",
    "check_example_is_recognised",
    "check_hash_covers_every_file",
    "check_missing_weights",
]
STEPS = "plugins: [{file}]\nsteps:\n  - {{id: first, run: norms, model: arrays}}\n"


@pytest.fixture
def arrays(swift):
    """A checkpoint in the format of the example."""
    import numpy as np

    (swift.folder / "arrays").mkdir()
    np.savez(swift.folder / "arrays" / "weights.npz", weight=np.ones((2, 2)))
    (swift.folder / "arrays" / "config.json").write_text("{}")
    return swift


def test_a_folder_in_no_installed_format_is_refused_with_those_that_are(arrays):
    refused = arrays("fetch", "arrays")
    assert refused.code == 2
    assert "arrays: not a checkpoint in any installed format" in refused.err
    assert all(f"{name} (" in refused.err for name in ("adapter", "safetensors", "gguf", "onnx"))


def test_the_format_of_a_local_file_is_fetched_used_and_listed(arrays):
    fetched = arrays("--plugin", str(EXAMPLE), "fetch", "arrays", "--json")
    assert json.loads(fetched.out)["figures"]["sha256"]
    done = arrays("--plugin", str(EXAMPLE), "norms", "arrays")
    assert (done.code, "weight: 2" in done.out) == (0, True)
    assert "format npz" in arrays("--plugin", str(EXAMPLE), "plugins").out
    assert "Print the norms" in arrays("--plugin", str(EXAMPLE), "norms", "--help").out


CHECK = """

def check(folder: Path) -> None:
    from swift_core import UsageError
    import zipfile

    if not zipfile.is_zipfile(folder / "weights.npz"):
        raise UsageError("not an .npz archive, or truncated", where=str(folder / "weights.npz"))
"""


def test_the_format_of_a_local_file_is_checked_before_any_work(arrays):
    file = arrays.folder / "arrays" / "weights.npz"
    file.write_bytes(file.read_bytes()[:-30])
    plugin = arrays.folder / "format_plugin.py"
    weights = 'weights=("*.npz",)'
    plugin.write_text(EXAMPLE.read_text().replace(weights, f'{weights}, check=Ref("format_plugin:check")') + CHECK)
    refused = arrays("--plugin", str(plugin), "norms", "arrays")
    assert (refused.code, "weights.npz: not an .npz archive" in refused.err) == (2, True)


@pytest.mark.slow
def test_the_format_of_a_local_file_in_yaml_a_recipe_and_python(arrays):
    (arrays.folder / "one.yaml").write_text(f"plugins: [{EXAMPLE}]\nrun: norms\nmodel: arrays\n")
    assert "weight: 2" in arrays("run", "one.yaml").out
    (arrays.folder / "steps.yaml").write_text(STEPS.format(file=EXAMPLE))
    assert arrays("run", "steps.yaml").code == 0
    (made,) = arrays.folder.glob("runs/*/1-first/result.json")
    assert json.loads(made.read_text())["figures"]["weight"] == 2.0
    code = "import swift_core; print(swift_core.norms(model='arrays').figures)"
    env = {**os.environ, "SWIFT_LOCAL_PLUGINS": str(EXAMPLE)}
    reported = subprocess.run([sys.executable, "-c", code], cwd=arrays.folder, env=env, capture_output=True, text=True, check=True)
    assert reported.stdout.strip() == "{'weight': 2.0}"


def test_the_kit_checks_the_format_of_a_local_file(arrays):
    outcome = arrays("plugins", "check", str(EXAMPLE), "--json")
    found = {row["check"]: row["outcome"] for row in json.loads(outcome.out) if row["kind"] == "format"}
    assert {name: found[name] for name in CHECKS} == dict.fromkeys(CHECKS, "passed")


def test_pickles_are_refused_whatever_is_beside_them(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    for name in ("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UsageError, check=coded("PLUGIN-010")) as refused:
            Checkpoint.at(tmp_path).check()
        assert refused.value.hint
        (tmp_path / name).unlink()


def test_the_core_knows_no_format_by_name():
    """Neither by the name of a format that is installed, nor by the pattern of its files."""
    known = {spec.name for spec in registry().all(FormatSpec)} - {"adapter"}  # which is also a word
    known |= {pattern.strip("*") for spec in registry().all(FormatSpec) for pattern in (*spec.recognised_by, *spec.weights)}
    for file in sorted((EXAMPLE.parents[2] / "swift_core").rglob("*.py")):
        tree = ast.parse(file.read_text())
        texts = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, DOCUMENTED) and ast.get_docstring(node)}
        named = [
            (file.name, node.lineno, word)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts
            for word in known
            if word in node.value
        ]
        assert not named
