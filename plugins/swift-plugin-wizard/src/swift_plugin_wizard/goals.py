"""Goals of a user, and the verbs that reach them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal: the verb, the kind of rows that it needs ("" for none), and a data set for a first try."""

    name: str
    verb: str
    rows: str = ""
    sample: str = ""


GOALS = (
    Goal("answer", "sft", "chat", "identity"),
    Goal("know", "pretrain", "text"),
    Goal("prefer", "dpo", "preference"),
    Goal("classify", "seq-cls", "label"),
    Goal("talk", "infer"),
)


def goal_named(name: str) -> Goal:
    """Return a goal by name."""
    return next(goal for goal in GOALS if goal.name == name)


TIMES = {"minutes": 300, "hour": 3600, "night": 8 * 3600}  # seconds


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of the user: `time` is minutes, hour or night, `labels` the number of classes in a classifier's rows."""

    goal: Goal
    model: str
    data: str
    time: str
    labels: int = 0
