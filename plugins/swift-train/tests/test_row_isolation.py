"""Rows that go through a model in one pass are what they are alone, or they go alone: asked of real architectures, by the road of a run."""

from __future__ import annotations

import os
from math import inf

import numpy as np
import pytest
import torch
from swift_train.batches import Told, collate, share
from swift_train.options import PretrainOptions
from swift_train.ranks import random_states
from swift_train.row_isolation import Isolation, ask
from swift_train.tasks import PretrainTask
from swift_train.testing import samples_of
from swift_train.testing_architectures import causal_types, small_model

from swift_core.registry import registry

TOKENS = range(3, 250)
ALONE = (
    "opt", "bloom", "falcon", "mamba", "mamba2", "gpt_oss", "lfm2", "qwen3_5", "qwen3_next", "recurrent_gemma", "jamba", "bamba", "afmoe",
    "bert",
)  # fmt: skip
TOGETHER = ("llama", "gpt2", "mixtral", "gemma3_text", "deepseek_v3")
NOT_SMALL = {  # what can't be built here, and why
    "dots3_note": "its configuration names layers that a small model does not have",
    "gemma3n": "it needs the library timm",
    "gemma4_assistant": "it is no model of text alone",
    "gemma4_unified_assistant": "it is no model of text alone",
}
NOT_TRAINED = {  # what is not trained on rows of text, alone or not
    "blt": "it takes bytes in patches",
    "musicgen": "it predicts several codes at once",
    "musicgen_melody": "it predicts several codes at once",
    "reformer": "it trains on rows of one length alone",
    "xmod": "it must be told a language",
}


def strategy_of(model, parallel="ddp"):
    strategy = registry().choose("parallel", parallel, {"device": "cpu"}).build()
    strategy.build(lambda device: model, lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
    return strategy


def isolation_of(model, tokens=TOKENS, longest=64) -> Isolation:
    return ask(strategy_of(model), PretrainTask(PretrainOptions()), tokens, longest)


def of_step(strategy, samples, most_rows, told, *, train):
    """Loss and gradients of all rows in one step."""
    pieces = share(range(len(samples)), samples.lengths, rank=0, ranks=1, most_rows=most_rows, most_tokens=inf)
    task, micros = PretrainTask(PretrainOptions()), [collate(samples, piece, told) for piece in pieces]
    loss = strategy.accumulate(micros, task, 1 / int(samples.supervised.sum()), train=train)
    gradients = [parameter.grad.clone() for parameter in strategy.learned if parameter.grad is not None]
    strategy.optimizer.zero_grad(set_to_none=True)
    return loss, gradients


def check(model, tmp_path) -> Isolation:
    """See that a step of three rows, as they go, has the loss and the gradients that it has row by row."""
    strategy = strategy_of(model)
    random = np.random.default_rng(0)
    samples = samples_of(tmp_path, [(random.choice(TOKENS, length).tolist(), [(1, length, 1.0)]) for length in (23, 14, 9)])
    isolation = ask(strategy, PretrainTask(PretrainOptions()), TOKENS, 64)
    before = random_states(torch.device("cpu"))["cpu"]
    loss, gradients = of_step(strategy, samples, 1, Told.POSITIONS, train=True)
    train = before.equal(random_states(torch.device("cpu"))["cpu"])  # else its training is random: no two steps are the same
    if not train:
        loss, gradients = of_step(strategy, samples, 1, Told.POSITIONS, train=False)
    together, theirs = of_step(strategy, samples, 3 if isolation.together else 1, isolation.told, train=train)
    assert together == pytest.approx(loss, rel=2e-6)
    assert len(gradients) == len(theirs)
    far = sum(float((one - other).square().sum()) for one, other in zip(gradients, theirs, strict=True)) ** 0.5
    assert far <= 1e-4 * sum(float(one.square().sum()) for one in gradients) ** 0.5
    return isolation


@pytest.mark.parametrize("model_type", [*ALONE, *TOGETHER])
def test_a_step_is_what_its_rows_are_alone(model_type, tmp_path):
    assert check(small_model(model_type), tmp_path).together == (model_type in TOGETHER)


@pytest.mark.full("architectures")
@pytest.mark.parametrize("model_type", causal_types())
def test_every_architecture(model_type, tmp_path, record_property):
    if reason := NOT_SMALL.get(model_type) or NOT_TRAINED.get(model_type):
        pytest.skip(reason)
    isolation = check(small_model(model_type), tmp_path)
    if path := os.environ.get("SWIFT_ROWS_TABLE"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{model_type}\t{isolation.told.value if isolation.together else 'alone'}\t{isolation.reason}\n")
