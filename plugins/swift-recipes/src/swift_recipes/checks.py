"""Check every step of a recipe before the first one runs."""

from __future__ import annotations

from collections.abc import Iterable

from swift_core.contract import Problems, Settings, SwiftError
from swift_core.runs import check_options
from swift_recipes.recipe import Step


def in_step(error: SwiftError, step: Step) -> SwiftError:
    """Return the error with the step in which it occurred."""
    return error.with_context(where=f"step '{step.id}' ({step.line})" + (f": {error.where}" if error.where else ""))


def check_steps(steps: Iterable[Step]) -> None:
    """Check the options, parts and engines of all steps, except for values that are results of other steps.

    Raises:
        UsageError: with every problem found.
    """
    problems: list[SwiftError] = []
    for step in steps:
        try:
            check_options(step.verb, Settings(dict(step.settings.values), dict(step.settings.lines)))
        except SwiftError as error:
            found = error.errors if isinstance(error, Problems) else [error]
            problems += [in_step(each, step) for each in found if "${" not in each.message]
    Problems.raise_any(problems)
