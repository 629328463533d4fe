"""--push-to-hub: what is uploaded after a training, and what is refused before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from swift_train.testing import ragged_chats, training_run, write_rows
from swift_train.upload import problems, upload
from swift_train.verb_options import TrainingOptions

from swift_core.contract import RunResult
from swift_core.contract.errors import SwiftError


def run_of(model, tmp_path, **options):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(2))
    given = TrainingOptions.checked({"model": str(model), "dataset": [str(rows)], "push_to_hub": True, **options}).model_dump()
    return training_run(model, rows, verb_options={name: given[name] for name in ("push_to_hub", "hub_model_id", "hub_private_repo")})


def test_the_output_is_uploaded_with_a_model_card(tiny_model, tmp_path):
    target = tmp_path / "hub/model"
    run = run_of(tiny_model, tmp_path, hub_model_id=f"file:{target}")
    assert not list(problems(run))
    upload(run, RunResult(status="done", folder=tmp_path, output=tiny_model))
    assert (target / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert "# Model Card for model" in (target / "README.md").read_text()


def test_nothing_is_uploaded_of_a_run_that_failed(tiny_model, tmp_path):
    target = tmp_path / "hub/model"
    run = run_of(tiny_model, tmp_path, hub_model_id=f"file:{target}")
    for status in ("failed", "stopped", "submitted"):
        upload(run, RunResult(status=status, folder=tmp_path, output=tiny_model))
    upload(replace(run, options={**run.options, "push_to_hub": False}), RunResult(status="done", folder=tmp_path, output=tiny_model))
    assert not target.exists()


def test_what_can_not_be_uploaded_keeps_the_output_and_says_how(tiny_model, tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    (target / "x").write_text("")
    with pytest.raises(SwiftError) as error:
        upload(run_of(tiny_model, tmp_path, hub_model_id=f"file:{target}"), RunResult(status="done", folder=tmp_path, output=tiny_model))
    assert f"swift push {tiny_model} file:{target}" in error.value.hint
    assert Path(tiny_model, "model.safetensors").is_file()


def test_tokens_and_owners_are_checked_before_the_run(tiny_model, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    assert [problem.where for problem in problems(run_of(tiny_model, tmp_path))] == ["push_to_hub"]
    monkeypatch.setenv("HF_TOKEN", "x")
    assert not list(problems(run_of(tiny_model, tmp_path)))
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "x")
    assert [problem.where for problem in problems(run_of(tiny_model, tmp_path, hub_model_id="ms:model"))] == ["hub_model_id"]
