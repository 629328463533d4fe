"""A reward for answers that are mathematically equal to the expected one, by math-verify."""

from __future__ import annotations

import re
from collections.abc import Sequence

from swift_core.contract import UsageError
from swift_rollouts.rewards.reward import Answered, Reward

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


class Accuracy(Reward):
    """1 if the last mathematical expression of the answer equals the row's `solution`, else 0; None if the solution has none.

    Of an answer with `<answer>` tags, the last such part counts.
    """

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return 1, 0 or None for each answer."""
        return [None if (correct := _correct(answer)) is None else float(correct) for answer in answers]


def is_correct(answer: Answered) -> bool:
    """Return whether an answer equals the expected one; as texts, if that has no mathematical expression."""
    correct = _correct(answer)
    return answer.text.strip() == answer.expected.strip() if correct is None else correct


def _correct(answer: Answered) -> bool | None:
    try:
        from math_verify import parse, verify
    except ImportError as error:
        hint = "pip install 'swift-rollouts[math]'"
        raise UsageError("math-verify is not installed", code="RL-007", where="reward_funcs.accuracy", hint=hint) from error
    expected = parse(answer.expected) or parse(f"${answer.expected}$")
    tagged = _TAGGED.findall(answer.text)
    said = tagged[-1].strip() if tagged else answer.text
    return bool(verify(expected, parse(said) or parse(f"${said}$"))) if expected else None
