"""The Python API: what stands for a file or a checkpoint may be a path."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from swift_nodes.facts import _settings
from swift_testing.codes import coded
from swift_train.trainer import options_with_effect

from swift_core import fetch
from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run
from swift_core.options.keywords import settings_of
from swift_core.plugins.registered import registry
from swift_core.plugins.verb_names import verb_named
from swift_core.runs.resolution import resolve
from swift_core.system.run_folder import fingerprint, write_run


def resolved(verb, **options):
    return resolve(verb_named(verb), settings_of(verb_named(verb), options, registry())).run


def test_options_say_themselves_whether_they_affect_the_result(tiny_model, tmp_path):
    """Recipes, the preflight checks of several nodes and resuming read this one thing."""
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    settings = {"model": tiny_model, "dataset": tmp_path / "rows.jsonl", "runs": tmp_path}
    first = resolved("sft", **settings)
    elsewhere = resolved("sft", **settings | {"runs": tmp_path / "other"}, output=tmp_path / "out", overwrite=True)
    other = resolved("sft", **settings, dtype="float32")
    assert Run.from_json(json.loads(json.dumps(first.to_json()))) == first
    assert fingerprint(first) == fingerprint(elsewhere) != fingerprint(other)
    assert dict(_settings(first)) == dict(_settings(elsewhere)) != dict(_settings(other))
    assert {"output", "runs", "overwrite", "resume", "model", "adapter"} <= set(first.without_effect)
    assert "dtype" in first.options_with_effect()
    task = replace(first.part("task"), options={**first.part("task").options, "save_steps": 7})
    assert (
        options_with_effect(task)
        == options_with_effect(first.part("task"))
        != options_with_effect(replace(task, options={**task.options, "seed": 7}))
    )


def test_a_path_stands_for_its_text(tiny_model, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}) + "\n")
    run = resolved(
        "sft", model=tiny_model, dataset=[rows, {"name": "file", "path": rows}], val_dataset=(rows,), output=tmp_path / "out", runs=tmp_path
    )
    assert run.model.path == str(tiny_model)
    assert [choice.options["path"] for choice in (*run.datasets, *run.validation)] == [str(rows)] * 3
    assert (run.options["output"], run.options["runs"]) == (str(tmp_path / "out"), str(tmp_path))
    assert not any(isinstance(value, Path) for value in run.options.values())
    assert fetch(tiny_model).output == tiny_model


def test_adapters_are_named_by_paths(tiny_model, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    run = resolved("export", model=tiny_model, adapter=[tmp_path], exporter="safetensors", output=tmp_path / "out")
    assert run.adapters["adapter"].path == str(tmp_path)


def test_a_path_that_leads_nowhere_is_named(tmp_path):
    with pytest.raises(UsageError, check=coded("CKPT-033"), match="missing"):
        resolved("get-model", model=tmp_path / "missing")


@pytest.mark.parametrize("asked", ["rows.jsonl", Path("rows.jsonl"), {"name": "rows.jsonl"}, ["rows.jsonl"]])
def test_a_lone_data_set_needs_no_list(asked, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    run = resolved("sft", model=tiny_model, dataset=asked, val_dataset=asked, runs=tmp_path)
    assert [choice.asked for choice in (*run.datasets, *run.validation)] == ["rows.jsonl"] * 2
    with pytest.raises(UsageError, check=coded("OPTION-005"), match="at least 1 item"):
        resolved("sft", model=tiny_model, dataset=[], runs=tmp_path)


def test_a_resumed_run_keeps_its_date(tiny_model, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}) + "\n")
    settings = {"model": tiny_model, "dataset": rows, "runs": tmp_path}
    begun = resolved("sft", **settings)
    assert begun.date == date.today().isoformat()
    earlier = replace(begun, date="2026-05-09")
    assert fingerprint(begun) == fingerprint(earlier), "a step of a recipe that is done is done"
    checkpoint = tmp_path / "step-000002"
    (checkpoint / "state").mkdir(parents=True)
    (checkpoint / "state" / "loop.json").write_text("{}")
    write_run(earlier, checkpoint)
    for asked in (str(checkpoint), {"name": str(checkpoint), "allow_change": True}):
        assert resolved("sft", **settings, resume=asked).date == "2026-05-09"
