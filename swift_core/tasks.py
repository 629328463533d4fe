"""Tasks that plugins bring, as verbs: `swift TASK …` and `run: TASK` train one as `swift sft` does."""

from __future__ import annotations

from swift_core.contract.errors import UsageError, suggestion
from swift_core.plugins.registry import registry
from swift_core.verbs import VERBS, Verb, training_verb, verb_named


def task_verb(name: str) -> Verb | None:
    """The verb that trains an installed task of that name; None where there is none."""
    found = registry().matching("task", name)
    return training_verb(name) if found else None


def verb_of(name: str, *, where: str = "run") -> Verb:
    """The verb of that name or alias, or the one that trains the task of that name.

    Raises:
        UsageError: there is neither, with a suggestion.
    """
    try:
        return verb_named(name, where=where)
    except UsageError as error:
        if found := task_verb(name):
            return found
        names = [spec.name for spec in registry().all("task")]
        raise UsageError(error.message, where=where, hint=suggestion(name, [*VERBS, *names]) or error.hint) from None
