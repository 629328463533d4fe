"""The reward by name, as a training runs it."""

from __future__ import annotations

from swift_rollouts.rewards.reward import Answered
from swift_rollouts.testing import check_reward


def test_it_scores_any_answers():
    assert len(check_reward("acme")) == 3


def test_repetition_costs():
    answers = [Answered(text="one two three four"), Answered(text="one one one one"), Answered(text="")]
    assert check_reward("acme", {"least": 0.5}, answers) == [1.0, 0.5, None]
