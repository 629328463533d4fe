"""It sums the sizes of the run folders."""

from __future__ import annotations


def test_run_folders_are_summed(swift_project):
    swift_project.write({"runs/a/run.json": {"verb": "sft"}, "runs/a/big": "x" * 2_000_000, "runs/no-run/file": "x"})
    outcome = swift_project.run("acme")
    outcome.assert_success()
    assert "2.0 MB  sft" in outcome.out
    assert "in 1 run folders" in outcome.out


def test_no_runs_is_not_an_error(swift_project):
    assert "in 0 run folders" in swift_project.run("acme").out
