"""Training that is killed with SIGKILL at random instants ends as one that was not: the same losses, the same weights, to the last bit.

A strategy joins by a row in STRATEGIES: its name, the number of ranks, the tuner, how often it is killed, and what is asked of it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from swift_train.crash_testing import check_kills
from swift_train.testing import ragged_chats, training_run, write_rows

STRATEGIES = [
    pytest.param("ddp", 1, "lora", 16, {}, id="ddp-1-lora"),
    pytest.param("ddp", 2, "full", 16, {}, id="ddp-2-full"),
    pytest.param("ddp", 4, "lora", 16, {}, id="ddp-4-lora"),
    pytest.param("fsdp", 1, "lora", 10, {}, id="fsdp-1-lora"),
    pytest.param("fsdp", 2, "full", 10, {}, id="fsdp-2-full"),
    pytest.param("fsdp", 4, "full", 10, {}, id="fsdp-4-full"),
    pytest.param("mesh", 2, "full", 10, {"tensor": 2}, id="mesh-2-full"),
    pytest.param("mesh", 4, "lora", 10, {"tensor": 2}, id="mesh-4-lora"),
    pytest.param("mesh", 2, "full", 10, {"pipeline": 2}, id="mesh-2-full-pipeline"),
    pytest.param("mesh", 4, "lora", 10, {"tensor": 2, "pipeline": 2}, id="mesh-4-lora-pipeline"),
]


@pytest.fixture
def survives(tiny_model, tmp_path):
    rows, held = write_rows(tmp_path / "rows.jsonl", ragged_chats(40)), write_rows(tmp_path / "held.jsonl", ragged_chats(6))

    def check(parallel, ranks, tuner, kills, steps, **sizes):
        def make(resume):
            return training_run(
                tiny_model, rows, validation=held, parallel=parallel, parallel_options=sizes, tuner=tuner,
                tuner_options={"dropout": 0.1} if tuner == "lora" else {}, verb_options={"resume": resume},
                batch_size=2, gradient_accumulation_steps=2, learning_rate=3e-3, max_steps=steps, eval_steps=6, save_steps=3,
            )  # fmt: skip

        survived = check_kills(make, tmp_path, ranks=ranks, kills=kills, seed=ranks)
        assert len(survived.steps) == steps
        assert (survived.output / ("adapter_model.safetensors" if tuner == "lora" else "model.safetensors")).is_file()
        return survived

    return check


@pytest.mark.slow
def test_three_kills(survives):
    survives("ddp", 1, "lora", 3, 30)


@pytest.mark.full("kill")
@pytest.mark.parametrize(("parallel", "ranks", "tuner", "kills", "sizes"), STRATEGIES)
def test_many_kills(survives, parallel, ranks, *, tuner, kills, sizes):
    survived = survives(parallel, ranks, tuner, kills, 120, **sizes)
    print(f"{parallel}, {ranks} ranks: {survived.kills} kills, {survived.in_saves} of them in the middle of a save")
    assert survived.in_saves >= kills // 5


@pytest.fixture
def command(swift, tiny_model):
    """Starts `swift sft` on two processes; waits for its tenth step, and gives the process, its run folder and its workers by rank."""
    write_rows(swift.folder / "rows.jsonl", ragged_chats(40))
    swift.env["OMP_NUM_THREADS"] = "1"

    def start(*words):
        training = ["--dataset", "rows.jsonl", "--dtype", "float32", "--batch-size", "2", "--save-steps", "5", "--processes", "2"]
        process = swift.popen("sft", "--model", str(tiny_model), *training, *words)
        end = time.monotonic() + 120
        while not (ready := list(swift.folder.glob("runs/*/checkpoints/step-000010"))):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)
        folder = ready[0].parents[1]
        return process, folder, workers_of(folder)

    return start


def workers_of(folder: Path) -> dict[str, int]:
    """The process ids of a run's workers, by rank."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"swift_core.runs.worker" in words and b"torch.distributed.run" not in words and words[-2].endswith(folder.name.encode()):
            found |= {word[5:].decode(): int(process.name) for word in variables if word.startswith(b"RANK=")}
    return found


@pytest.mark.full("kill")
def test_torchrun_starts_it_again_from_its_last_checkpoint(command):
    process, folder, workers = command("--launcher", "torchrun", "--launcher.max-restarts", "1", "--max-steps", "300")
    os.kill(workers["1"], signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "Resuming from" in err
    steps: dict[int, set[float]] = {}
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        steps.setdefault(line["step"], set()).add(line["loss"])
    assert sorted(steps) == list(range(1, 301))
    assert all(len(losses) == 1 for losses in steps.values()), "steps that were done twice"


@pytest.mark.full("kill")
def test_a_process_that_is_frozen_is_named(command):
    process, folder, workers = command("--max-steps", "100000", "--parallel.timeout", "5")
    os.kill(workers["1"], signal.SIGSTOP)
    begin = time.monotonic()
    _, err = process.communicate(timeout=300)
    assert time.monotonic() - begin < 40
    assert process.returncode == 1
    assert "process 1 of 2 has made no progress for 5 s: " in err
    assert "SWIFT-TRAIN-090" in err
    assert "the process is stopped" in err
    assert not workers_of(folder)


@pytest.mark.full("kill")
def test_a_process_that_is_killed_is_named(command):
    process, folder, workers = command("--max-steps", "100000")
    os.kill(workers["1"], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "process 1 of the run's 2 ended with code 137" in err
    assert not workers_of(folder)
