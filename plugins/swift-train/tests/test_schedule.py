"""The rates are those of transformers' schedulers, update by update."""

from __future__ import annotations

import pytest
import torch
from swift_train.options import SftOptions
from swift_train.schedule import learning_rate
from transformers import get_scheduler


@pytest.mark.parametrize(("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")])
@pytest.mark.parametrize("warmup", [{"warmup_steps": 0}, {"warmup_steps": 4}, {"warmup_ratio": 0.3}, {"warmup_steps": 0.3}])
def test_as_transformers(ours, theirs, warmup):
    total, highest = 13, 3e-4
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=highest)
    steps = warmup.get("warmup_steps", 4) if warmup != {"warmup_steps": 0.3} else 4  # ceil(0.3 × 13)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=steps, num_training_steps=total)
    rate = learning_rate(SftOptions(schedule=ours, **warmup), highest, total)
    for update in range(total):
        assert rate(update) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_a_lowest_rate_as_transformers():
    total, highest, lowest = 13, 3e-4, 2e-5
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=highest)
    kwargs = {"min_lr": lowest}
    scheduler = get_scheduler(
        "cosine_with_min_lr", optimizer, num_warmup_steps=4, num_training_steps=total, scheduler_specific_kwargs=kwargs
    )
    rate = learning_rate(SftOptions(schedule="cosine_with_min_lr", warmup_steps=4, min_learning_rate=lowest), highest, total)
    for update in range(total + 1):
        assert rate(update) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()
    assert rate(total) == pytest.approx(lowest)
