"""Rewards by name, as they are run: in a process of their own."""

from __future__ import annotations

import math

import pytest
from swift_rollouts.rewards.process import RewardProcess
from swift_rollouts.rewards.reward import Answered, reward_choices
from swift_rollouts.user_code.choices import CodeChoice

from swift_core.contract import UsageError


def scores(items, answers):
    with RewardProcess(reward_choices(items), 60) as process:
        return process.score(answers)


def test_named_rewards(tmp_path):
    answers = [
        Answered(text="<think>One and one.</think> <answer>2</answer>", ids=range(10), fields={"solution": "2"}),
        Answered(text="It is \\boxed{3}. a b c a b c", ids=range(40), fields={"solution": "2"}),
    ]
    items = [
        "accuracy", "format", "length:minimum=20:maximum=30", "soft-overlong:max_length=50:cache_length=20",
        {"name": "cosine", "max_len": 40}, "repetition:n_grams=3", "exact",
    ]  # fmt: skip
    found = scores(items, answers)
    assert found["accuracy"] == [1.0, 0.0]
    assert found["format"] == [1.0, 0.0]
    assert found["length"] == [0.5, pytest.approx(2 - 40 / 30)]
    assert found["soft-overlong"] == [0.0, -0.5]
    assert found["cosine"] == [pytest.approx(1 - 0.5 * (1 - math.cos(math.pi / 4)) / 2), pytest.approx(0.0)]
    assert found["repetition"] == [0.0, pytest.approx(-1 / 7)]
    assert found["exact"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("item", "choice"),
    [
        ("accuracy", CodeChoice("accuracy")),
        ("cosine:max-len=512", CodeChoice("cosine", {"max_len": "512"})),
        ("package.module:right", CodeChoice("right", {}, "package.module")),
        ({"name": "judge", "rubric": "Good."}, CodeChoice("judge", {"rubric": "Good."})),
    ],
)
def test_a_reward_is_named(item, choice):
    assert reward_choices([item]) == [choice]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["acuracy"], "there is no reward 'acuracy'"),
        (["nothing.py:right"], "there is no file"),
        (["accuracy", "accuracy"], "named twice"),
        (["no.module:right"], "can't be imported"),
        (["cosine"], "max_len"),
        ([3], "is not a reward"),
    ],
)
def test_what_is_no_reward(items, said):
    with pytest.raises(UsageError, match=said):
        scores(items, [])
