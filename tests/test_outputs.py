"""What a result may not take the place of, whatever `--overwrite` says; what is beside a checkpoint does not change which one it is."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.cli import invoke as run

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}


@pytest.fixture
def folder(tiny_model, tmp_path, monkeypatch):
    place = tmp_path / "work"
    shutil.copytree(tiny_model, place / "models" / "tiny")
    (place / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return place


@pytest.mark.parametrize("output", ["models/tiny", "models", ".", "..", "/", "../home", "rows.jsonl"])
def test_an_output_that_holds_what_is_needed_is_refused(output, folder, capsys):
    code = run(["sft", "models/tiny", "--dataset", "rows.jsonl", "--output", output, "--overwrite", "--dry-run"])
    assert (code, "--output" in capsys.readouterr().err) == (2, True)


def test_two_models_in_one_command_are_refused(folder, capsys):
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    for option in (("--model", "models/tiny"), ("--model=models/tiny",)):
        assert run(["serve", "adapter", *option, "--dry-run"]) == 2
        assert "swift serve --model models/tiny --adapter adapter" in capsys.readouterr().err


def test_runs_inside_a_model_folder_are_no_part_of_it(folder):
    model = folder / "models" / "tiny"
    before = Checkpoint.at(model).hash()
    for made, name in (("runs/one", "run.json"), ("merged", "swift.json")):
        (model / made / "output").mkdir(parents=True)
        (model / made / name).write_text("{}")
        (model / made / "output" / "config.json").write_text("{}")
    assert Checkpoint.at(model).hash() == before
    (model / "more.json").write_text("{}")
    assert Checkpoint.at(model).hash() != before


def test_weights_that_were_replaced_beside_a_manifest_are_another_checkpoint(folder):
    model = folder / "models" / "tiny"
    write_manifest(model, Manifest())
    before = Checkpoint.at(model).hash()
    weights = model / "model.safetensors"
    os.utime(weights, (weights.stat().st_atime, weights.stat().st_mtime + 3600))  # copied once more
    assert Checkpoint.at(model).hash() == before
    data = weights.read_bytes()
    weights.write_bytes(data[:-4] + bytes(4))
    os.utime(weights, (weights.stat().st_atime, weights.stat().st_mtime + 3600))
    assert Checkpoint.at(model).hash() != before
