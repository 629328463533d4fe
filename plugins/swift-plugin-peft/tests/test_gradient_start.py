"""LoRA-GA starts at the base model, in the direction of the gradients of the first rows, and is saved as a plain LoRA."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract.errors import UsageError

OPTIONS = {"init": "lora_ga", "rank": 4, "dropout": 0.0, "ga_rows": 3}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(8))


def losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


@pytest.mark.slow
def test_it_starts_at_the_base_and_moves_along_the_gradient(tiny_model, rows, tmp_path):
    """The first loss is that of plain LoRA; the first steps go further down; PEFT reads the result on the unmodified base."""
    more = {"max_steps": 4, "batch_size": 4, "learning_rate": 1e-3, "shuffle": False, "schedule": "constant"}
    found = {}
    for name, options in (("ga", OPTIONS), ("plain", {"rank": 4, "dropout": 0.0})):
        found[name] = losses(run_training(training_run(tiny_model, rows, tuner_options=options, **more), tmp_path / name))
    assert found["ga"][0] == pytest.approx(found["plain"][0], abs=1e-4)
    assert found["ga"][-1] < found["plain"][-1] - 1e-3
    many = on_ranks(
        2,
        partial(
            run_training,
            training_run(tiny_model, rows, tuner_options=OPTIONS, parallel="fsdp", **{**more, "batch_size": 2}),
            tmp_path / "fsdp",
        ),
    )
    assert losses(many[0]) == pytest.approx(found["ga"], abs=1e-4)
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        adapted = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "ga/output").eval()
        base = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
        assert (adapted(ids).logits - base(ids).logits).abs().max() > 1e-3
        for name, weight in base.named_parameters():
            same = dict(adapted.base_model.model.named_parameters())
            kept = same.get(name, same.get(name.replace(".weight", ".base_layer.weight")))
            torch.testing.assert_close(kept, weight)
    assert AutoTokenizer.from_pretrained(tmp_path / "ga/output")


def test_it_needs_the_tokens_of_training_rows(tiny_model, tmp_path):
    """A preference loss has none, and a model that is only loaded has no rows."""
    pairs = write_rows(tmp_path / "pairs.jsonl", [{"prompt": "Hi", "chosen": "yes", "rejected": "no"}] * 2)
    with pytest.raises(UsageError, match="loss of their tokens"):
        run_training(training_run(tiny_model, pairs, task="dpo", tuner_options=OPTIONS, max_steps=1), tmp_path / "run")
