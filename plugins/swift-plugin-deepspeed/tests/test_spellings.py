"""`--deepspeed NAME` and `--deepspeed FILE.json`, and the error if DeepSpeed is not installed."""

from __future__ import annotations

import importlib.util

import pytest

from swift_core.options import other_tools
from swift_core.plugins.registered import registry
from swift_core.plugins.verb_names import verb_named


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--deepspeed", "ds.json", "--seed", "1"], ["--parallel", "deepspeed", "--parallel.config", "ds.json", "--seed", "1"]),
        (["--deepspeed=a/ds.json"], ["--parallel", "deepspeed", "--parallel.config", "a/ds.json"]),
        (["--deepspeed", "zero2"], ["--deepspeed", "zero2"]),
        (["--model", "deepspeed", "ds.json"], ["--model", "deepspeed", "ds.json"]),
        (["--deepspeed"], ["--deepspeed"]),
    ],
)
def test_a_file_in_place_of_a_name(words, expected):
    notes: list[str] = []
    assert other_tools.expand(words, verb_named("sft"), registry(), notes) == expected
    assert len(notes) == (words != expected)


def dry_run(project, tiny_model, *words):
    project.write({"rows.jsonl": [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]})
    return project.run("sft", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--device", "cpu", "--dry-run", *words)


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is not None, reason="DeepSpeed is here")
def test_deepspeed_is_not_installed(tiny_model, swift_project):
    """Reported together with the file's conflicts, before anything is loaded."""
    swift_project.write({"ds.json": {"train_micro_batch_size_per_gpu": 7, "zero_optimization": {"stage": 3}}})
    outcome = dry_run(swift_project, tiny_model, "--deepspeed", "ds.json")
    outcome.assert_failure("'deepspeed' needs deepspeed>=0.19, which is not installed")
    assert "DS_BUILD_OPS=0 pip install 'deepspeed>=0.19'" in outcome.err
    assert "train_micro_batch_size_per_gpu: it is 7, the run has 4" in outcome.err


def test_a_file_that_is_missing(tiny_model, swift_project):
    outcome = dry_run(swift_project, tiny_model, "--deepspeed", "ds.json")
    outcome.assert_failure("--parallel.config: 'ds.json' can't be read: No such file or directory")
