"""The evaluator `builtin`: reads the rows of each task, has them scored, and records them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_evaluate import prompt_hash
from swift_evaluate.roles import Evaluation, Item, Scores
from swift_evaluate.rows.files import SourceRow
from swift_train.allocator import keep_freed_memory

from swift_core.system import sha256_of
from swift_plugin_transformers.evaluation.calibration import Calibration
from swift_plugin_transformers.evaluation.options import DEFAULT_TASK, TASKS, BuiltinOptions
from swift_plugin_transformers.evaluation.preference import Preference
from swift_plugin_transformers.evaluation.rows import file_of, rows_of
from swift_plugin_transformers.evaluation.speed import Speed
from swift_plugin_transformers.evaluation.subject import Subject
from swift_plugin_transformers.evaluation.tasks import Divergence, Perplexity, Task

_TASKS: Mapping[str, type[Task]] = dict(zip(TASKS, (Perplexity, Divergence, Preference, Calibration, Speed), strict=True))
_LOWER = tuple(name for task in _TASKS.values() for name in task.lower_is_better)

_ROWS, _LETTERS = 64, 20_000  # rows that are scored together, and letters of their JSON


def text_of(row: SourceRow) -> str:
    """Return the text of a row: its question, else its text, else nothing."""
    return next((value for name in ("question", "text") if isinstance(value := row.data.get(name), str)), "")


class Builtin:
    """The evaluator `builtin`."""

    def __init__(self, options: BuiltinOptions) -> None:
        self.options = options

    def evaluate(self, checkpoint: Path, asked: Evaluation) -> Scores:
        """Score every row with the checkpoint, and record the rows.

        Raises:
            UsageError: a task is unknown or has no rows, or a row is not of the task's kind.
        """
        keep_freed_memory()
        names = asked.tasks or (DEFAULT_TASK,)
        every = {name: rows_of(name, asked.data, self.options) for name in names}
        rows = {name: dict(list(found.items())[: asked.limit or None]) for name, found in every.items()}
        work = {name: {id: row for id, row in found.items() if (name, id, 0) not in asked.recorded} for name, found in rows.items()}
        asked.expect(sum(map(len, work.values())))
        subject = Subject(checkpoint, asked, self.options)
        values: dict[str, dict[str, float]] = {}
        errors: dict[str, dict[str, float]] = {}
        for name in names:
            task = _TASKS[name](subject)
            earlier = [item for (of, _, _), item in asked.recorded.items() if of == name]
            scored: list[Mapping[str, float]] = [{**item.scores, **json.loads(item.output)} for item in earlier]
            for chunk in _chunks(work[name]):
                for (id, row), result in zip(chunk.items(), task.results(list(chunk.values())), strict=True):
                    sums = json.dumps(result.sums)
                    asked.record(Item(task=name, id=id, prompt=prompt_hash(id), question=text_of(row), output=sums, scores=result.scores))
                    scored.append({**result.scores, **result.sums})
            found = task.estimates(scored)
            values[name] = {score: value for score, (value, _) in found.items()}
            errors[name] = {score: error for score, (_, error) in found.items() if error is not None}
        return Scores(values=values, standard_errors=errors, lower_is_better=_LOWER, settings=self._settings(asked, names))

    def _settings(self, asked: Evaluation, tasks: tuple[str, ...]) -> dict[str, Any]:
        files = {task: file_of(task, asked.data, self.options) for task in tasks}
        hashes = sha256_of([path for path in files.values() if path.is_file()])
        return {"data": {task: {"path": str(path), "sha256": hashes.get(path, "")} for task, path in files.items()}}


def _chunks(rows: Mapping[str, SourceRow]) -> Iterator[dict[str, SourceRow]]:
    """Yield the rows that are scored together."""
    chunk: dict[str, SourceRow] = {}
    letters = 0
    for id, row in rows.items():
        size = len(json.dumps(dict(row.data), default=str))
        if chunk and (len(chunk) == _ROWS or letters + size > _LETTERS):
            yield chunk
            chunk, letters = {}, 0
        chunk[id] = row
        letters += size
    if chunk:
        yield chunk
