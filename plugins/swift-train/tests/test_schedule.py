"""The rates are those of transformers' schedulers, update by update."""

from __future__ import annotations

import pytest
import torch
from swift_train.options import SftOptions
from swift_train.schedule import learning_rate
from transformers import get_scheduler

from swift_core.options.model import Invalid

TOTAL, HIGHEST, LOWEST = 13, 3e-4, 2e-5


def same(theirs, options, *, warmup=4, total=TOTAL, **kwargs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=HIGHEST)
    scheduler = get_scheduler(
        theirs, optimizer, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=kwargs or None
    )
    rate = learning_rate(options, HIGHEST, total)
    for update in range(total + 1):
        if update >= warmup or "min_lr_ratio" not in kwargs:  # transformers' warm-up of wsd begins at the lowest rate, not at 0
            assert rate(update) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12, abs=1e-18)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")])
@pytest.mark.parametrize("warmup", [{"warmup_steps": 0}, {"warmup_steps": 4}, {"warmup_ratio": 0.3}, {"warmup_steps": 0.3}])
def test_as_transformers(ours, theirs, warmup):
    steps = warmup.get("warmup_steps", 4) if warmup != {"warmup_steps": 0.3} else 4  # ceil(0.3 × 13)
    same(theirs, SftOptions(schedule=ours, **warmup), warmup=steps)


@pytest.mark.parametrize("lowest", [{"min_learning_rate": LOWEST}, {"schedule_options": {"min_lr": LOWEST}}])
def test_a_lowest_rate_as_transformers(lowest):
    options = SftOptions(schedule="cosine_with_min_lr", warmup_steps=4, **lowest)
    same("cosine_with_min_lr", options, min_lr=LOWEST)
    assert learning_rate(options, HIGHEST, TOTAL)(TOTAL) == pytest.approx(LOWEST)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("cosine_with_restarts", {"num_cycles": 3}),
        ("polynomial", {"power": 2.0, "lr_end": LOWEST}),
        ("inverse_sqrt", {}),
        ("warmup_stable_decay", {"num_decay_steps": 5, "decay_type": "1-sqrt"}),
        ("warmup_stable_decay", {"num_decay_steps": 5, "decay_type": "linear", "min_lr_ratio": 0.1}),
        ("warmup_stable_decay", {"num_decay_steps": 5}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ],
)
@pytest.mark.parametrize("warmup", [0, 4])
def test_schedules_with_options_as_transformers(name, kwargs, warmup):
    same(name, SftOptions(schedule=name, schedule_options=kwargs, warmup_steps=warmup), warmup=warmup, **kwargs)


def test_unknown_options_are_refused():
    with pytest.raises(Invalid, match="num_cycle"):
        SftOptions.checked({"schedule": "cosine_with_restarts", "schedule_options": {"num_cycle": 3}})
