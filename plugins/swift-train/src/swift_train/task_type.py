"""ms-swift's `--task_type`: the tasks that are verbs of their own here."""

from __future__ import annotations

from collections.abc import Sequence

from swift_data.external_plugins import load

from swift_core.cli import note
from swift_core.contract import TaskSpec
from swift_core.plugins import registry
from swift_train.flag_groups import combine

_FLAGS = ("--task_type", "--task-type")


def rewrite(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb that `--task_type` means and the other words; '' for the verb that was typed, if it names no task.

    The files of `--external_plugins` are loaded first, since tasks may be theirs.
    """
    words = combine(load(words))
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag not in _FLAGS or not (equals or words[place + 1 :]):
            continue
        value = value if equals else words[place + 1]
        names = {name.replace("-", "_"): spec.name for spec in registry().all(TaskSpec) for name in (spec.name, *spec.also)}
        if verb := names.get(value.replace("-", "_"), ""):
            note(f"{flag} {value} is swift {verb} here")
            return verb, [*words[:place], *words[place + (1 if equals else 2) :]]
    return "", list(words)
