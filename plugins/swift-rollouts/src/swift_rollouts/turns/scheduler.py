"""The base class of schedulers, which reply to an answer of the model, or end the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from swift_core.contract import Ref, SwiftError, UsageError, suggestion
from swift_core.options import Invalid, Options

GROUP = "swift.rollouts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation that ends with an answer of the model.

    Attributes:
        id: of the conversation; the same for each of its turns.
        messages: the prompt and what followed, in OpenAI's format.
        fields: the other fields of the prompt's row.
        turns: answers of the model so far.
        seed: for a scheduler that draws random numbers.
    """

    id: str  # of the conversation
    messages: Sequence[Mapping[str, Any]]  # the prompt and what followed
    fields: Mapping[str, Any] = field(default_factory=dict)  # other fields of the row
    turns: int = 1  # answers so far
    seed: int = 0  # for random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The reply to an answer.

    Attributes:
        messages: of a user or of tools; none if the conversation is over.
        reward: of the answer, by the environment; added up over the turns, and what the reward `environment` returns. None: there is none.
    """

    messages: Sequence[Mapping[str, Any]] = ()  # none if it is over
    reward: float | None = None  # of the answer


class Scheduler(Options):
    """Base of every scheduler with a name; its fields are its options. It runs in a process of its own, in several threads."""

    def reply(self, conversation: Conversation) -> Reply:
        """Return what follows the last answer of a conversation."""
        raise NotImplementedError

    def forget(self, conversation: str) -> None:
        """Drop what is kept of a conversation, which is over; by default nothing is."""


def scheduler_names() -> dict[str, str]:
    """Return the named schedulers with what implements them."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def named_scheduler(name: str, options: Mapping[str, Any]) -> Scheduler:
    """Return the scheduler of a name.

    Raises:
        UsageError: there is none, or its options are wrong.
    """
    known, where = scheduler_names(), "multi_turn_scheduler"
    if name not in known:
        hint = f"{suggestion(name, known)} Name a function: FILE.py:FUNCTION.".strip()
        raise UsageError(f"there is no scheduler '{name}'", code="RL-038", where=where, hint=hint)
    try:
        made: Scheduler = Ref(known[name]).load().checked(dict(options))
    except Invalid as error:
        raise error.with_context(where=where) from None
    except SwiftError as error:
        message = f"the scheduler '{name}' can't be imported: {error.message}"
        raise UsageError(message, code=error.code, where=where, hint=error.hint) from error
    return made
