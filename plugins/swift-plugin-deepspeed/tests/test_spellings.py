"""`--deepspeed NAME` and `--deepspeed FILE.json`, and the error if DeepSpeed is not installed."""

from __future__ import annotations

import importlib.util
import json
import shlex

import pytest
from swift_plugin_deepspeed import file_values
from swift_train import strategy_checks

from swift_core.cli import invoke
from swift_core.contract import Settings
from swift_core.options import other_tools
from swift_core.plugins import engines
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
    outcome = dry_run(swift_project, tiny_model, "--deepspeed", "ds.json", "--batch-size", "4")
    outcome.assert_failure("'deepspeed' needs deepspeed>=0.19, which is not installed")
    assert "DS_BUILD_OPS=0 pip install 'deepspeed>=0.19'" in outcome.err
    assert "train_micro_batch_size_per_gpu: it is 7, the run has 4" in outcome.err


def test_a_file_that_is_missing(tiny_model, swift_project):
    outcome = dry_run(swift_project, tiny_model, "--deepspeed", "ds.json")
    outcome.assert_failure("--parallel.config: 'ds.json' can't be read: No such file or directory")


FILE = {
    "zero_optimization": {"stage": 3}, "bf16": {"enabled": True}, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 8,
    "gradient_clipping": "auto",
    "optimizer": {"type": "AdamW", "params": {"lr": 2e-5, "weight_decay": 0.01, "betas": [0.9, 0.95], "eps": "auto"}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_num_steps": 10, "total_num_steps": 100, "warmup_max_lr": 2e-5}},
}  # fmt: skip


@pytest.mark.parametrize(("words", "code"), [("", 0), ("--learning-rate 1e-4", 2), ("--batch-size 2", 2)])
def test_the_values_of_the_file_count_where_the_command_gives_none(tiny_model, tmp_path, monkeypatch, capsys, words, code):  # noqa: PLR0917 (fixtures)
    """So that the run has the file's; one of the command that differs is still a contradiction."""
    for module in (engines, strategy_checks):
        monkeypatch.setattr(module, "engine_state", lambda *_: engines.EngineState(True))
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    (tmp_path / "ds.json").write_text(json.dumps(FILE))
    line = (
        f"sft --model {tiny_model} --dataset {tmp_path}/rows.jsonl --lora_rank 4 --deepspeed {tmp_path}/ds.json --no-plan {words} --dry-run"
    )
    assert invoke(shlex.split(line)) == code
    shown = capsys.readouterr()
    assert "DeepSpeed's configuration sets" in shown.err
    if code:
        return
    parts = json.loads(shown.out)["parts"]
    expected = {"batch_size": 1, "gradient_accumulation_steps": 8, "learning_rate": 2e-5, "schedule": "linear", "warmup_steps": 10,
                "max_steps": 100, "max_grad_norm": 1.0}  # fmt: skip
    assert {name: parts["task"]["options"][name] for name in expected} == expected
    assert {name: parts["optimizer"]["options"][name] for name in ("weight_decay", "beta2", "eps")} == {
        "weight_decay": 0.01, "beta2": 0.95, "eps": 1e-8,
    }  # fmt: skip


def test_a_total_batch_size_is_arithmetic(tmp_path):
    settings = Settings(
        {"parallel": {"name": "zero2", "config": {"train_batch_size": 64, "train_micro_batch_size_per_gpu": 2}}, "processes": 4}
    )
    assert list(file_values.apply(verb_named("sft"), settings))
    assert (settings.values["batch_size"], settings.values["gradient_accumulation_steps"]) == (2, 8)
