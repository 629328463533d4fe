"""Run folders and checkpoints are of use from any folder, and after they were moved or copied; what is gone is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from swift_core.contract.run import Run
from swift_core.system.run_folder import made_by, read_run, write_result, write_run

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    """A project whose model, rows and output were named relative to it, and the words that trained it."""
    from swift_testing.project import SwiftProject

    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    project = SwiftProject(folder)
    project.write({"rows.jsonl": [ROW] * 4})
    shutil.copytree(tiny_model, folder / "base")
    done = project.run("sft", "--model", "base", "--dataset", "rows.jsonl", "--max-steps", "1", "--learning-rate", "0.01", "--json")
    done.assert_success()
    return folder, folder / done.json()["folder"]


@pytest.fixture
def elsewhere(swift, tmp_path):
    """The command line in another folder, which has a `base` and `runs` of its own."""
    (tmp_path / "base").mkdir()
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    return swift


VERBS = [
    ["merge", "{run}"], ["merge", "--model", "{base}", "--adapter", "{run}"], ["export", "{run}", "--to", "gguf"],
    ["serve", "{run}"], ["ask", "{run}", "--questions", "Hi"], ["infer", "{run}", "--questions", "Hi"],
    ["sft", "{run}", "--dataset", "rows.jsonl"], ["sft", "{base}", "--adapter", "{run}", "--dataset", "rows.jsonl"], ["fetch", "{run}"],
    ["sft", "{base}", "--dataset", "rows.jsonl", "--resume", "{run}"],
]  # fmt: skip


def words(verb, run: Path, base: Path) -> list[str]:
    return [word.format(run=run, base=base) for word in verb]


@pytest.mark.slow
def test_what_is_recorded_is_found_from_anywhere(trained):
    project, run = trained
    result = json.loads((run / "result.json").read_text())
    assert result["output"] == str(run / "output")
    assert result["folder"] == str(run)
    assert read_run(run).model.path == str(project / "base")
    assert json.loads((run / "output/swift.json").read_text())["base"]["path"] == str(project / "base")
    assert json.loads((run / "output/adapter_config.json").read_text())["base_model_name_or_path"] == str(project / "base")
    assert read_run(run).options["runs"] == str(project / "runs")


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("how", ["there", "moved"])
def test_every_verb_on_a_run_folder(trained, elsewhere, tmp_path, verb, how):
    """From another folder; and on a run folder that was moved, whose old place has something else now."""
    project, run = trained
    if how == "moved":
        shutil.copytree(run, tmp_path / "moved")
        run = Path("moved")
    outcome = elsewhere(*words(verb, run, project / "base"), "--dry-run")
    assert outcome.code == 0, outcome.err
    resolved = json.loads(outcome.out)
    sources = [resolved["model"]["path"], *(source["path"] for source in resolved["adapters"].values())]
    assert str(project / "base") in sources
    if how == "moved" and "--resume" not in verb:
        assert [path for path in sources if path.startswith(str(tmp_path / "moved"))]


@pytest.mark.slow
def test_a_base_that_is_gone_is_named_with_what_to_type(trained, elsewhere, tmp_path):
    project, run = trained
    (project / "base").rename(project / "elsewhere")
    try:
        outcome = elsewhere("merge", str(run), "--dry-run")
        assert outcome.code == 2
        assert str(project / "base") in outcome.err
        assert f"--model BASE --adapter {run}" in outcome.err
        again = elsewhere("merge", "--model", str(project / "elsewhere"), "--adapter", str(run), "--dry-run")
        assert again.code == 0, again.err
    finally:
        (project / "elsewhere").rename(project / "base")


@pytest.mark.slow
def test_a_deleted_output_is_reported_with_the_last_checkpoint_of_its_run(trained, elsewhere, tmp_path):
    _, run = trained
    shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/output")
    outcome = elsewhere("merge", "copy", "--dry-run")
    assert outcome.code == 2
    assert "the output of the run 'copy' no longer exists" in outcome.err
    assert "copy/checkpoints/step-000001/model" in outcome.err


def test_places_in_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"output": "out", "runs": "runs", "resume": {"name": "runs/before", "allow_change": True}}
    write_run(Run(verb="sft", job="", options=options), tmp_path / "runs/one")
    reported = read_run(tmp_path / "runs/one").options
    assert reported == {
        "output": str(tmp_path / "out"),
        "runs": str(tmp_path / "runs"),
        "resume": {"name": str(tmp_path / "runs/before"), "allow_change": True},
    }
    write_result(Path("runs/one"), {"status": "done", "folder": "runs/one", "output": "runs/one/output/model.gguf"})
    assert made_by(tmp_path / "runs/one") == tmp_path / "runs/one/output/model.gguf"
    (tmp_path / "runs/one").rename(tmp_path / "two")
    assert made_by(Path("two")) == Path("two/output/model.gguf")
    write_result(Path("two"), {"status": "done", "folder": "two", "output": "out"})
    (tmp_path / "two").rename(tmp_path / "three")
    assert made_by(Path("three")) == tmp_path / "out"
    assert made_by(tmp_path) is None
