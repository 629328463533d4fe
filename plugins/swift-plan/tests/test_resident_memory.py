"""The planned peak on a CPU is the peak of resident memory of the process that trains, imports included."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from swift_plan import plan
from swift_testing.rig import write_tiny_model
from swift_train.testing import write_rows

from swift_core.api import resolved

SIZES = {
    "vocab_size": 16_000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
}
CASES = {
    "full": {"tuner": "full"},
    "full, long rows": {"tuner": "full", "max_length": 512},
    "lora": {"tuner": "lora"},
    "lora, long rows, checkpointing": {"tuner": "lora", "max_length": 512, "gradient_checkpointing": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resident")
    write_tiny_model(folder / "model", **SIZES)
    words = "snow ice wind road door light water bread " * 200
    write_rows(folder / "rows.jsonl", [{"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": words}]}] * 4)
    return folder


@pytest.mark.full("plan")
@pytest.mark.parametrize("case", CASES)
def test_the_planned_peak_is_that_of_the_process(folder, case):
    asked = {"max_length": 64, **CASES[case], "truncation": "right", "batch_size": 1, "max_steps": 2, "dtype": "float32", "device": "cpu"}
    options = {"model": str(folder / "model"), "dataset": [str(folder / "rows.jsonl")], **asked}
    planned = plan(resolved("sft", options))
    run = folder / "runs" / case
    flags = [word for name, value in asked.items() for word in (["--" + name.replace("_", "-")] + ([] if value is True else [str(value)]))]
    command = [sys.executable, "-P", "-m", "swift_core.cli", "sft", "--model", "model", "--dataset", "rows.jsonl", *flags, "--json"]
    done = subprocess.run([*command, "--runs", str(run)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["figures"]["memory_peak"]
    print(f"{case}: planned {planned.peak / 2**20:.0f} MiB, measured {measured / 2**20:.0f} MiB, {planned.peak / measured - 1:+.1%}")
    assert planned.method == "trace"
    assert planned.peak == pytest.approx(measured, rel=0.15)
