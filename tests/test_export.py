"""`swift export`: what an exporter writes is there whole or not at all, with a manifest; what it can't take is refused before it starts."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from swift_convert import export as exporting
from swift_testing.codes import coded

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Choice, Run, Source
from swift_core.runs.events import Report

PLUGIN = """
from pathlib import Path

from swift_core import hookimpl
from swift_core.options.model import Options, option
from swift_core.contract.specs import ExporterSpec, Ref


class CopyOptions(Options):
    fail: bool = option(False, "Fail in the middle.")


class Copy:
    def __init__(self, options):
        self.options = options

    def export(self, checkpoint, out):
        out.mkdir()
        (out / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
        if self.options.fail:
            raise RuntimeError("half way")
        return out / "config.json"


class WholeOptions(Options):
    fault: str = option("", "What is wrong with what it writes.")


class VerifiedOptions(CopyOptions):
    pass


class Verified(Copy):
    checked = {}

    def export(self, checkpoint, out):
        self.checked = {"max_difference": 0.5}
        return super().export(checkpoint, out)


class Loaded:
    def __init__(self, folder):
        from swift_train.export_comparison import LoadedExport

        self.inner = LoadedExport(folder)
        self.vocabulary = self.inner.vocabulary

    def logits(self, ids):
        return self.inner.logits(ids)

    def encode(self, text):
        return self.inner.encode(text)


class Shifted(Loaded):
    def encode(self, text):
        return [*self.inner.encode(text), 1]


class Short(Loaded):
    def logits(self, ids):
        return self.inner.logits(ids)[1:]


class Whole:
    max_kl = 1e-6

    def __init__(self, options):
        self.fault = options.fault

    def export(self, checkpoint, out):
        from shutil import copytree

        from safetensors.torch import load_file, save_file

        copytree(checkpoint, out)
        if self.fault == "weights":
            tensors = load_file(out / "model.safetensors")
            tensors["model.norm.weight"] *= 3
            save_file(tensors, out / "model.safetensors", {"format": "pt"})
        return out

    def load(self, exported):
        if self.fault == "engine":
            raise NotImplementedError("its engine has no llamas")
        return {"tokens": Shifted, "short": Short}.get(self.fault, Loaded)(exported)


@hookimpl
def swift_exporters():
    return [
        ExporterSpec(
            name="whole", summary="All of it, loaded again", factory=Ref("copying:Whole"), options=Ref("copying:WholeOptions"),
            reads=("safetensors",), writes="safetensors",
        ),
        ExporterSpec(
            name="verified", summary="It compares both itself", factory=Ref("copying:Verified"), options=Ref("copying:VerifiedOptions"),
            reads=("safetensors",), writes="json",
        ),
        ExporterSpec(
            name="copy", summary="The config alone", factory=Ref("copying:Copy"), options=Ref("copying:CopyOptions"),
            reads=("safetensors",), writes="json",
        )
    ]
"""


@pytest.fixture
def project(swift, tiny_model):
    (swift.folder / "copying.py").write_text(PLUGIN)
    (swift.folder / "model").symlink_to(tiny_model)
    return lambda *words: swift("--plugin", "copying.py", "export", *words)


@pytest.fixture
def here(tmp_path, tiny_model, monkeypatch, inline_plugin):
    """A run of the exporter in this process, as its worker does it."""
    (tmp_path / "copying.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "copying", raising=False)
    inline_plugin(importlib.import_module("copying"), name="copying")
    folder = tmp_path / "run"
    folder.mkdir()

    def export(name="copy", *, python="", adapters=None, verify=True, **options):
        choice = Choice(
            kind="exporter",
            name=name,
            plugin="copying",
            distribution="copying",
            version="1",
            factory=f"copying:{name.title()}",
            options_class=f"copying:{name.title()}Options",
            options=options,
            python=python,
        )
        source = Source(reference="file:tiny", path=str(tiny_model), hash="abc", format="safetensors", family="llama")
        asked = {"output": str(tmp_path / "out"), "overwrite": bool(options.pop("overwrite", False)), "verify": verify}
        run = Run(verb="export", job="", model=source, adapters=adapters or {}, options=asked, parts={"exporter": choice})
        return exporting.export(run, Report(folder))

    return export


def test_a_run_folder_a_manifest_and_what_a_reader_opens(project, tmp_path):
    done = json.loads(project("model", "--to", "copy", "--output", "out", "--json").out)
    assert done["output"] == str(tmp_path / "out/config.json")
    assert done["figures"]["bytes"] == (tmp_path / "out/config.json").stat().st_size
    manifest = Checkpoint.at(tmp_path / "out").manifest
    assert manifest.origin == "export"
    assert manifest.base["reference"] == "file:model"
    assert manifest.files.keys() == {"config.json"}
    for name in ("run.json", "events.jsonl", "report.html"):
        assert (tmp_path / done["folder"] / name).is_file()
    assert done["figures"]["verified"] is False  # such an exporter loads nothing, and it is said
    assert "not verified: copy has no engine here" in (tmp_path / done["folder"] / "events.jsonl").read_text()
    refused = project("model", "--to", "copy", "--output", "out")
    assert refused.code == 2
    assert "--output: 'out' exists" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model"], "Add --to NAME: "),
        (["model"], " copy, "),
        (["model", "--to", "cpoy"], "Did you mean 'copy'?"),
        (["model", "--to", "copy", "--speed", "9"], "there is no option --speed"),
        (["nowhere/at/all", "--to", "copy", "--offline"], "nowhere"),
    ],
)
def test_errors_are_reported_before_it_starts(project, tmp_path, words, message):
    refused = project(*words)
    assert refused.code == 2
    assert message in refused.err
    assert not (tmp_path / "runs").exists()


def test_an_adapter_is_refused_with_what_to_do(project, tmp_path, tiny_model):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_model), "peft_type": "LORA"}))
    (adapter / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    refused = project("adapter", "--to", "copy")
    assert refused.code == 2
    assert "copy exports whole models, but 'file:adapter' is an adapter" in refused.err
    assert "swift merge" in refused.err


def test_a_failed_export_leaves_nothing_and_keeps_what_was_there(here, tmp_path):
    here()
    before = (tmp_path / "out/swift.json").read_text()
    with pytest.raises(UsageError, check=coded("FILE-004")):
        here()
    with pytest.raises(RuntimeError, match="half way"):
        here(fail=True, overwrite=True)
    assert (tmp_path / "out/swift.json").read_text() == before
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"copying.py", "out", "run"}
    here(overwrite=True)


FEW = {"tokens": 64, "max_kl": None}


def test_what_is_written_is_compared_with_its_source(here, tmp_path):
    _, figures = here("whole", verify=FEW)
    assert figures["verified"]
    assert figures["kl"] < 1e-6
    assert figures["top1"] == 1
    assert figures["perplexity"] == pytest.approx(figures["perplexity_before"])
    assert figures["load_seconds"] > 0
    assert Checkpoint.at(tmp_path / "out").manifest.figures["kl"] == figures["kl"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [("weights", "too far from its source"), ("tokens", "tokenises .* differently from its source"), ("short", "number of logits is not")],
)
def test_what_is_something_else_is_not_kept(here, tmp_path, fault, message):
    with pytest.raises(SwiftError, match=message):
        here("whole", verify=FEW, fault=fault)
    assert not (tmp_path / "out").exists()


def test_a_wider_limit_and_none(here):
    _, figures = here("whole", verify={**FEW, "max_kl": 50.0}, fault="weights")
    assert figures["kl"] > 1e-3
    assert "kl" not in here("whole", verify=False, fault="weights", overwrite=True)[1]


def test_an_engine_that_can_not_load_it_is_said(here, tmp_path):
    assert here("whole", verify=FEW, fault="engine")[1]["verified"] is False
    assert "WARNING: not verified: its engine has no llamas" in (tmp_path / "run/events.jsonl").read_text()


def test_an_exporter_that_has_compared_both_itself_is_believed(here, tmp_path):
    _, figures = here("verified", verify=FEW)
    assert (figures["verified"], figures["max_difference"]) == (True, 0.5)
    assert "verified has verified the result itself" in (tmp_path / "run/events.jsonl").read_text()


@pytest.mark.slow
def test_an_engine_of_another_environment_answers_there(here, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    _, figures = here("whole", python=str(python), verify=FEW)
    assert figures["verified"]
    assert figures["kl"] < 1e-6
    assert figures["peak_bytes"] > 1e8
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"engine", "verify"}
    assert here("whole", python=str(python), verify=FEW, fault="engine", overwrite=True)[1]["verified"] is False


@pytest.mark.slow
def test_an_engine_of_another_environment_works_in_a_worker_there(here, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    opened, figures = here(python=str(python))
    assert opened == tmp_path / "out/config.json"
    assert figures["bytes"] == opened.stat().st_size
    assert "swift_core.runs.worker" in (tmp_path / "called").read_text()
    with pytest.raises(SwiftError, match="RuntimeError: half way") as failed:
        here(python=str(python), fail=True, overwrite=True)
    assert "log.txt" in failed.value.hint
    assert opened.is_file()
    python.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(SwiftError, match="code 3"):
        here(python=str(python), overwrite=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')  # a Python that has nothing
    with pytest.raises(UsageError, match="has no swift-core") as absent:
        here(python=str(python), overwrite=True)
    assert "-m pip install copying swift-core" in absent.value.hint
