"""Every kind of part from a local file, to the end: trained with and saved, gone on with, merged, quantized, exported, served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import swift_core
from swift_core import merge, quantize, serve, train
from swift_core.checkpoints import Checkpoint
from swift_core.cli import cli, print_error
from swift_core.contract.errors import SwiftError
from swift_core.plugins import local
from swift_core.plugins.loader import plugins
from swift_core.plugins.registered import KINDS, registry
from swift_core.system.run_folder import read_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]
SOURCE = Path(__file__).with_name("local_parts.py")
PARTS = {"tuner": "mine", "optimizer": "mine", "loader": "mine", "parallel": "mine", "launcher": "mine"}


def run(words):
    """The command line in this process; its exit code."""
    try:
        return cli.main(args=words, prog_name="swift", standalone_mode=False) or 0
    except SwiftError as error:
        print_error(error)
        return error.exit_code


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The plugin in this process, so that the parent of every worker need not be started anew."""
    folder = tmp_path_factory.mktemp("local")
    path = Path(shutil.copy(SOURCE, folder / "mine.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(local.VARIABLE, "")
        local.use_local_plugins([str(path)], where="test")
        yield path
    plugins.cache_clear()
    registry.cache_clear()


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    """The tiny model, of the family that the file offers."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    shutil.copytree(tiny_model, folder)
    return folder


@pytest.fixture(scope="module")
def trained(file, checkpoint):
    return train(
        "mine",
        model=f"mine:{checkpoint}",
        family="mine",
        dataset="mine",
        max_steps=2,
        save_steps=1,
        device="cpu",
        callbacks=["mine"],
        **PARTS,
    )


def test_the_file_offers_every_kind(file):
    assert {kind for kind in KINDS if any(entry.plugin.local for entry in registry().entries(kind))} == set(KINDS)


def test_a_verb_of_the_file(file, tmp_path):
    done = swift_core.mine_verb(runs=str(tmp_path))
    assert (done.output.read_text(), done.figures) == ("mine", {"letters": 4})


def test_what_was_trained_says_which_file_it_was(file, trained):
    home, version = local.distribution(file), local.version(file)
    manifest, run = Checkpoint.at(trained.output).manifest, read_run(trained.folder)
    assert manifest.versions[home] == run.versions[home] == version
    assert (manifest.tuner["name"], manifest.tuner["plugin"], manifest.family) == ("mine", "mine", "mine")
    assert {choice.distribution for kind, choice in run.parts.items() if kind in (*PARTS, "task", "callback.mine")} == {home}


def test_its_section_is_in_the_report(trained):
    page = (trained.folder / "report.html").read_text()
    assert "<h2>Mine</h2>&lt;mine&gt; 1</section>" in page


def test_it_is_gone_on_with(file, checkpoint, trained):
    asked = {"model": f"mine:{checkpoint}", "family": "mine", "dataset": "mine", "device": "cpu", **PARTS}
    again = train("mine", max_steps=3, resume={"name": str(trained.folder), "allow_change": True}, **asked)
    assert again.figures["steps"] == 3


def test_merged_quantized_and_served(file, trained):
    merged = merge(trained.output, loader="mine", device="cpu")
    assert merged.figures["adapter_effect"] > 0
    fewer = quantize(merged.output, "mine", loader="mine", device="cpu")
    assert Checkpoint.at(fewer.output).manifest.versions[local.distribution(file)]
    with serve(trained.output, backend="mine", port=0, parity="warn") as server:  # the adapter beside its base, by the file's tuner
        assert len(server.models) == 2


def test_exported_and_loaded_in_few_bits(file, checkpoint):
    from swift_core import export

    done = export(checkpoint, "mine", verify=False)
    assert done.output.name == "mine.json"
    tuned = train("mine", model=str(checkpoint), dataset="mine", max_steps=1, device="cpu", quantizer="mine-load", tuner="lora")
    assert Checkpoint.at(tuned.output).manifest.quantizer["plugin"] == "mine"


def test_a_task_is_trained_by_its_name(file, checkpoint, tmp_path, capsys):
    words = ("--model", str(checkpoint), "--dataset", "mine", "--max-steps", "1", "--dry-run")
    assert run(["mine", *words]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["task"]["plugin"] == "mine"
    (tmp_path / "it.yaml").write_text(f"run: mine\nplugins: [{file}]\nmodel: {checkpoint}\ndataset: [mine]\nmax_steps: 1\n")
    assert run(["run", str(tmp_path / "it.yaml"), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["verb"] == "mine"
    assert run(["mime"]) == 2
    assert "there is no command 'mime'" in capsys.readouterr().err


class TestLater:
    """The commands of another day: the file is named again, has changed, or is gone."""

    def swift(self, capsys, *words):
        registry.cache_clear()
        plugins.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(local.VARIABLE, "")
            code = run(list(words))
        return code, capsys.readouterr()

    def test_merge_says_which_file_is_missing(self, file, trained, capsys):
        code, said = self.swift(capsys, "merge", str(trained.output), "--dry-run")
        assert code == 2
        assert f"--plugin: the loader 'mine' was defined in the local file {file}" in said.err  # the first part that is asked for
        assert f"swift --plugin {file}" in said.err

    def test_resume_says_which_file_is_missing(self, file, checkpoint, trained, capsys):
        words = ("sft", "--model", str(checkpoint), "--dataset", "rows.jsonl", "--resume", str(trained.folder), "--dry-run")
        code, said = self.swift(capsys, *words)
        assert code == 2
        assert f"was defined in the local file {file}" in said.err

    def test_a_file_that_has_changed_is_noted(self, file, trained, tmp_path, capsys):
        other = tmp_path / "mine.py"
        other.write_text(f"{file.read_text()}\n# changed\n")
        words = ("--plugin", str(other), "merge", str(trained.output), "--dry-run")
        import sys

        kept = sys.modules.pop("mine")
        try:
            code, said = self.swift(capsys, *words)
        finally:
            sys.modules["mine"] = kept
        assert code == 0, said.err
        assert f"mine.py has changed since: its hash was {local.version(file)}" in said.err
        assert json.loads(said.out)["parts"]["tuner"]["version"] == local.version(other)

    def test_a_file_that_is_gone_is_named(self, file, trained, tmp_path, capsys):
        aside = file.rename(tmp_path / "aside.py")
        try:
            code, said = self.swift(capsys, "merge", str(trained.output), "--dry-run")
        finally:
            aside.rename(file)
        assert code == 2
        assert f"the local file {file}, which no longer exists" in said.err
