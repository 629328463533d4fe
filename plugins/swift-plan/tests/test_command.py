"""The command `swift plan`."""

from __future__ import annotations

import json

import pytest
from swift_testing.rig import write_tiny_model
from swift_train.testing import ragged_chats, write_rows

from tests.here import swift_here


@pytest.fixture
def folder(tiny_model, tmp_path):
    write_rows(tmp_path / "rows.jsonl", ragged_chats(6))
    (tmp_path / "sft.yaml").write_text(f"run: sft\nmodel: {tiny_model}\ndataset: rows.jsonl\nbatch_size: 2\n")
    return tmp_path


def swift(folder, *words):
    code, out, err = swift_here(folder, *words)
    return code, out, err


def test_a_file_is_planned_by_formula(folder):
    code, out, _ = swift(folder, "plan", "sft.yaml", "--device", "rtx3090", "--no-trace", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["device"]["name"] == "rtx3090"
    assert found["fits"]
    assert {phase["name"] for phase in found["phases"]} == {"load", "step", "update", "evaluate", "save"}


def test_flags_are_those_of_the_verb(folder, tiny_model):
    code, out, _ = swift(
        folder, "plan", "sft", "--model", str(tiny_model), "--tuner", "full", "--device", "t4", "--no-trace", "--json", "--max-length", "32"
    )
    assert code == 0
    assert json.loads(out)["length"] == 32


def test_a_server_is_planned(folder, tiny_model):
    code, out, _ = swift(folder, "plan", "serve", str(tiny_model), "--device", "t4", "--served-tokens", "100", "--json")
    assert code == 0
    assert next(phase for phase in json.loads(out)["phases"] if phase["name"] == "step")["parts"]["kv cache"]


def test_tuners_by_card(folder, tiny_model):
    code, out, _ = swift(folder, "plan", str(tiny_model), "--no-trace", "--json")
    assert code == 0
    assert {row["tuner"] for row in json.loads(out)} == {"full", "lora", "qlora"}


def test_nothing_to_plan(folder):
    code, _, err = swift(folder, "plan")
    assert code == 2
    assert "PLAN-006" in err


def test_changes_are_written(tmp_path):
    """70 million weights, whose gradients and optimizer fit in no card of 0.7 GiB."""
    model = write_tiny_model(tmp_path / "model", hidden_size=64)
    write_rows(tmp_path / "rows.jsonl", ragged_chats(2))
    file = tmp_path / "sft.yaml"
    file.write_text(f"run: sft\nmodel: {model}\ndataset: rows.jsonl\nmax_length: 8192\nbatch_size: 4096\ntuner: full\n")
    code, out, _ = swift(tmp_path, "plan", "sft.yaml", "--device", "t4", "--no-trace", "--apply")
    assert code == 0, out
    assert "batch_size: 1" in file.read_text()
    again, _, _ = swift(tmp_path, "plan", "sft.yaml", "--device", "t4", "--no-trace")
    assert again == 0


@pytest.mark.slow
def test_a_device_is_calibrated_by_finished_runs(folder):
    code, out, err = swift(folder, "sft", "sft.yaml", "--max-steps", "2", "--device", "cpu", "--json")
    assert code == 0, err
    run = json.loads(out)["folder"]
    code, out, err = swift(folder, "plan", "calibrate", run, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert set(found["overheads"]) == {"cpu"}
    assert found["speed"]["float32"] > 0
    code, out, _ = swift(folder, "plan", "calibrate", run)
    assert code == 0
    assert all(word in out for word in ("planned", "measured", "overhead of cpu"))
    assert swift(folder, "plan", "calibrate", "--help")[0] == 0
    assert swift(folder, "plan", "calibrate", "--jsn")[0] == 2
    assert swift(folder, "plan", "calibrate", "rows.jsonl")[0] == 2
