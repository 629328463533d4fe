"""The datasets of a run, from its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swift_core.contract import DataChoice, DatasetSpec, Problem, Problems, SwiftError, TaskSpec, UsageError
from swift_core.options import Invalid
from swift_data.choices import choose_dataset, fetch_dataset
from swift_data.personal_data import detectors

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.plugins import Registry
    from swift_core.runs import Draft


def prepare(draft: Draft) -> None:
    """Resolve and fetch the datasets that the options `dataset` and `val_dataset` name (`VerbSpec.prepare`).

    Raises:
        UsageError: with every dataset that does not exist or has invalid options; or nothing is installed that finds personal data.
        SwiftError: a download failed.
    """
    if draft.options.get("data", {}).get("redact") or draft.options.get("pii"):
        detectors()
    streaming = bool(draft.options.get("data", {}).get("streaming"))
    draft.datasets = _resolved(draft, "dataset", streaming=streaming)
    draft.validation = _resolved(draft, "val_dataset")


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield the datasets whose kinds of rows the task of the run does not accept."""
    if "task" not in run.parts:
        return
    task = known.spec(run.parts["task"], TaskSpec)
    for choice in (*run.datasets, *run.validation):
        gives = known.spec(choice, DatasetSpec).rows
        if gives and not set(gives) & set(task.rows):
            fits = [spec.name for spec in known.all(TaskSpec) if set(gives) & set(spec.rows)]
            hint = f"Tasks for such rows: {', '.join(fits)}." if fits else "No installed task accepts such rows."
            message = f"'{choice.asked}' has {' and '.join(gives)} rows; {task.name} needs {' or '.join(task.rows)} rows"
            yield Problem(code="DATA-020", where="dataset", message=message, hint=hint)


def _resolved(draft: Draft, key: str, *, streaming: bool = False) -> tuple[DataChoice, ...]:
    settings = draft.settings
    given: dict[str, Any] = settings.values.get("dataset_options", {})
    options = {name.replace("_", "-"): value for name, value in given.items()}
    chosen: list[DataChoice] = []
    errors: list[SwiftError] = []
    for index, item in enumerate(draft.options.pop(key, None) or ()):
        where = settings.where(f"{key}.{index}") if f"{key}.{index}" in settings.lines else settings.where(key)
        try:
            chosen.append(choose_dataset(draft.known, item, options, where, streaming=streaming, hub=draft.options["hub"]))
        except Invalid as invalid:
            errors += [UsageError(message, code=invalid.code, where=path) for path, message in invalid.problems]
        except SwiftError as error:
            errors.append(error)
    Problems.raise_any(errors)
    draft.notes += [note for choice in chosen if (note := _elsewhere(choice))]
    return tuple(fetch_dataset(choice, draft.progress) for choice in chosen)


def _elsewhere(choice: DataChoice) -> str:
    """Return a note if a dataset is read from a hub or by an id that the user did not write; '' otherwise."""
    path = str(choice.options.get("path", ""))
    asked = choice.asked.partition("#")[0]
    return f"dataset {asked} is {path}" if choice.name == "hub" and path not in (asked, "") and not asked.startswith(path) else ""
