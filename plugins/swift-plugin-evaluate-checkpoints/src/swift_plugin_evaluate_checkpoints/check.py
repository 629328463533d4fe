"""Check what is to be evaluated before the training starts: as an evaluation of the model that it begins with."""

from __future__ import annotations

from collections.abc import Iterator

from swift_core.contract import Choice, Problem, Problems, Run, Settings, SwiftError
from swift_core.plugins import verb_named
from swift_core.runs import resolve
from swift_plugin_evaluate_checkpoints.options import EvaluateOptions

_WHERE = "callbacks.evaluate"


def problems(run: Run, choice: Choice) -> Iterator[Problem]:
    """Yield the problems that an evaluation of the base would have."""
    options = EvaluateOptions.checked(dict(choice.options))
    if run.model is None:
        return
    try:
        resolve(verb_named("eval"), Settings({**options.of_eval(), "model": run.model.path}, {}))
    except SwiftError as error:
        for each in error.errors if isinstance(error, Problems) else [error]:
            where = f"{_WHERE}: {each.where}" if each.where else _WHERE
            yield Problem(code=each.code, where=where, message=each.message, hint=each.hint)
