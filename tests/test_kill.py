"""Training that is killed with SIGKILL at random instants ends as one that was not: the same losses, the same weights, to the last bit.

A strategy joins by a row in STRATEGIES: its name, the number of ranks, the tuner, and how often it is killed.
"""

from __future__ import annotations

import pytest
from swift_train.kills import steps_of, train_through_kills
from swift_train.testing import do, on_ranks, ragged_chats, training_run, write_rows

STRATEGIES = [
    pytest.param("ddp", 1, "lora", 16, id="ddp-1-lora"),
    pytest.param("ddp", 2, "full", 16, id="ddp-2-full"),
    pytest.param("ddp", 4, "lora", 16, id="ddp-4-lora"),
]


@pytest.fixture
def survives(tiny_model, tmp_path):
    rows, held = write_rows(tmp_path / "rows.jsonl", ragged_chats(40)), write_rows(tmp_path / "held.jsonl", ragged_chats(6))

    def check(parallel, ranks, tuner, kills, steps):
        def make(resume):
            return training_run(
                tiny_model, rows, validation=held, parallel=parallel, tuner=tuner,
                tuner_options={"dropout": 0.1} if tuner == "lora" else {}, verb_options={"resume": resume},
                batch_size=2, gradient_accumulation_steps=2, learning_rate=3e-3, max_steps=steps, eval_steps=6, save_steps=3,
            )  # fmt: skip

        def train():
            do(make(""), tmp_path / "whole")

        on_ranks(ranks, train, timeout=600)
        expected = steps_of(tmp_path / "whole")
        survived = train_through_kills(make, tmp_path, ranks=ranks, kills=kills, seed=ranks)
        assert len(expected) == steps
        assert survived.kills == kills
        assert {number: {step} for number, step in expected.items()} == survived.steps
        name = "adapter_model.safetensors" if tuner == "lora" else "model.safetensors"
        assert (survived.output / name).read_bytes() == (tmp_path / "whole/output" / name).read_bytes()
        return survived

    return check


@pytest.mark.slow
def test_three_kills(survives):
    survives("ddp", 1, "lora", 3, 30)


@pytest.mark.full("kill")
@pytest.mark.parametrize(("parallel", "ranks", "tuner", "kills"), STRATEGIES)
def test_many_kills(survives, parallel, ranks, tuner, kills):
    survived = survives(parallel, ranks, tuner, kills, 120)
    print(f"{parallel}, {ranks} ranks: {survived.kills} kills, {survived.in_saves} of them in the middle of a save")
    assert survived.in_saves >= kills // 5
