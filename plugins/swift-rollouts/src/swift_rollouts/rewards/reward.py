"""The base class of rewards, and finding one by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from swift_evaluate.metrics.metric import GROUP as METRICS

from swift_core.contract import Ref, SwiftError, UsageError, suggestion
from swift_core.options import Invalid, Options
from swift_rollouts.user_code.choices import CodeChoice, code_choices

if TYPE_CHECKING:
    from swift_rollouts.options import RewardOptions

GROUP = "swift.rewards"
MODEL = "reward-model"  # the reward that a reward model is
EXPECTED = ("solution", "answer", "expected", "ground_truth", "label")  # fields of a row that hold the expected answer, first come first


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A sampled answer to be scored: its text and token ids, why it ended, the prompt's messages, and the other fields of its row.

    If the answer has several turns, its text is that of the last one, and the token ids are those of all, with what others said.
    """

    text: str  # of the answer
    ids: Sequence[int] = ()  # its tokens
    finish: str = "stop"  # "length" if it was cut
    messages: Sequence[Mapping[str, Any]] = ()  # the conversation before it
    fields: Mapping[str, Any] = field(default_factory=dict)  # other fields of the prompt's row
    turns: Sequence[Mapping[str, Any]] = ()  # the messages after the prompt, if a scheduler or tools replied
    environment: float | None = None  # sum of the rewards that a scheduler gave

    @property
    def expected(self) -> str:
        """The expected answer: the first of the fields `solution`, `answer`, `expected`, `ground_truth` and `label`.

        Raises:
            ValueError: the row has none of them.
        """
        for name in EXPECTED:
            if self.fields.get(name) is not None:
                return str(self.fields[name])
        raise ValueError(f"the row has no expected answer; one of these fields is needed: {', '.join(EXPECTED)}")


class Reward(Options):
    """Base of every reward with a name; its fields are its options. It runs in a process of its own, in the main thread."""

    def score(self, answers: Sequence[Answered]) -> Sequence[float | None]:
        """Return the score of each answer; None where the reward does not apply.

        Raises:
            ValueError: a row lacks what the reward needs; the message says what.
        """
        raise NotImplementedError


def reward_choices(items: Sequence[Any], modules: Sequence[str] = ()) -> list[CodeChoice]:
    """Return the choices that the option `reward_funcs` names; raises as `code_choices` does."""
    return code_choices(items, "reward", "reward_funcs", modules)


def rewards_of_run(options: RewardOptions) -> list[CodeChoice]:
    """Return the rewards of a training, with that of its reward model; raises as `code_choices` does."""
    found = reward_choices(options.reward_funcs, options.modules)
    return [*found, CodeChoice(MODEL, {"url": options.reward_server})] if options.has_reward_model else found


def reward_names() -> dict[str, str]:
    """Return the named rewards, and the metrics that can be used as one, with what implements them."""
    points = {group: {point.name: point.value for point in entry_points(group=group)} for group in (METRICS, GROUP)}
    return points[METRICS] | points[GROUP]


def named_reward(name: str, options: Mapping[str, Any]) -> Reward:
    """Return the reward of a name; a metric of that name becomes one.

    Raises:
        UsageError: there is none, or its options are wrong.
    """
    known = reward_names()
    where = f"reward_funcs.{name}"
    if name not in known:
        hint = f"{suggestion(name, known)} Rewards: {', '.join(sorted(known))}; or FILE.py:FUNCTION.".strip()
        raise UsageError(f"there is no reward '{name}'", code="RL-016", where=where, hint=hint)
    try:
        kind = Ref(known[name]).load()
    except SwiftError as error:
        raise UsageError(
            f"the reward '{name}' can't be imported: {error.message}", code=error.code, where=where, hint=error.hint
        ) from error
    try:
        if issubclass(kind, Reward):
            made: Reward = kind.checked(dict(options))
            return made
        from swift_rollouts.rewards.metrics import MetricReward

        return MetricReward.of(name, kind.checked(dict(options)))
    except Invalid as error:
        raise error.with_context(where=where) from None
