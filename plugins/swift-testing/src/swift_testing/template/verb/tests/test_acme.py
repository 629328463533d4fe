"""It counts the parameters of a checkpoint, from the command line and from Python."""

from __future__ import annotations

import json

import swift_core


def test_the_parameters_of_a_checkpoint_are_counted(tiny_model, swift_project):
    outcome = swift_project.run("acme", str(tiny_model), "--digits", "1", "--json")
    outcome.assert_success()
    counts = json.loads((swift_project.folder / outcome.json()["output"]).read_text(encoding="utf-8"))
    assert counts.keys() == {"F32"}
    assert outcome.json()["figures"] == {"F32": float(f"{counts['F32']:.1g}")}


def test_it_is_a_function_in_python(tiny_model, tmp_path):
    assert swift_core.acme(model=tiny_model, runs=tmp_path).figures["F32"] > 0


def test_it_is_listed(swift_project):
    assert "Count the parameters" in swift_project.run("--help").out
