"""The rates are those of transformers' schedulers, update by update."""

from __future__ import annotations

import pytest
import torch
from swift_train.options import SftOptions
from swift_train.schedule import learning_rate
from transformers import get_scheduler


@pytest.mark.parametrize(("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")])
@pytest.mark.parametrize("warmup", [{"warmup_steps": 0}, {"warmup_steps": 4}, {"warmup_ratio": 0.3}])
def test_as_transformers(ours, theirs, warmup):
    total, highest = 13, 3e-4
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=highest)
    steps = warmup.get("warmup_steps", 4)  # ceil(0.3 × 13)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=steps, num_training_steps=total)
    rate = learning_rate(SftOptions(schedule=ours, **warmup), highest, total)
    for update in range(total):
        assert rate(update) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()
