"""Perplexity, next-token accuracy, divergence from a reference, preference accuracy and calibration of a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_evaluate import prompt_hash, question_id
from swift_evaluate.roles import Evaluation, Item, Scores
from swift_evaluate.rows.files import SourceRow, read_rows
from swift_train.build import load_checkpoint, source_of
from swift_train.processors import tokenizer_of

from swift_core.checkpoints import family_of
from swift_core.contract import UsageError
from swift_core.system import sha256_of
from swift_plugin_transformers.evaluation import calibration, preference
from swift_plugin_transformers.evaluation.encoding import RowEncoder, Sequence
from swift_plugin_transformers.evaluation.likelihood import divergence, ratio, total
from swift_plugin_transformers.evaluation.options import BuiltinOptions

if TYPE_CHECKING:
    from torch.nn import Module

LOWER = ("loss", "row_loss", "perplexity", "bits_per_byte", "kl", "row_kl", "calibration_error", "brier")


@dataclass
class Subject:
    """The checkpoint that is evaluated, loaded when it is first needed."""

    checkpoint: Path
    asked: Evaluation
    options: BuiltinOptions

    @cached_property
    def _loaded(self) -> Any:
        options = self.options
        return load_checkpoint(self.checkpoint, device=options.device, dtype=options.dtype, adapters=self.asked.adapters)

    @property
    def model(self) -> Module:
        """The model, with its first adapter active."""
        model: Module = self._loaded.model
        return model

    @cached_property
    def reference(self) -> Module:
        """The model to compare with.

        Raises:
            UsageError: there is none, or it has another vocabulary.
        """
        if not self.options.reference:
            hint = "Add --reference FOLDER, such as the checkpoint before quantization."
            raise UsageError("the task divergence needs a reference checkpoint", code="EVAL-064", where="reference", hint=hint)
        loaded = load_checkpoint(Path(self.options.reference), device=self.options.device, dtype=self.options.dtype)
        if tokenizer_of(loaded.processor).get_vocab() != self.encoder.tokenizer.get_vocab():
            raise UsageError(
                "the reference has another vocabulary", code="EVAL-065", where="reference", hint="Name a checkpoint of the same base model."
            )
        return loaded.model

    @cached_property
    def encoder(self) -> RowEncoder:
        """The encoder of rows; of a conversation, all turns of the assistant count."""
        return self._encoder("all")

    @cached_property
    def last_turn(self) -> RowEncoder:
        """The encoder of conversations of which only the last turn counts."""
        return self._encoder("last")

    def _encoder(self, turns: str) -> RowEncoder:
        return RowEncoder(tokenizer_of(self._loaded.processor), family_of(source_of(self.checkpoint)).stop_tokens, turns=turns)

    def windows(self, row: SourceRow) -> tuple[list[Sequence], int]:
        """Return the windows of a row, and the bytes of its text.

        Raises:
            UsageError: no token counts.
        """
        sequences, size = self.encoder.encode(row)
        found = [window for sequence in sequences for window in sequence.windows(self.options.max_length)]
        if not any(any(window.counted) for window in found):
            raise UsageError(
                "no token of the row counts",
                code="EVAL-066",
                where=row.where,
                hint="Text must not be empty; a conversation needs an answer.",
            )
        return found, size


@dataclass(frozen=True, slots=True)
class Result:
    """What a row gives: its scores, and sums for scores that are ratios of sums over the rows."""

    scores: Mapping[str, float]
    sums: Mapping[str, float] = field(default_factory=dict)


def perplexity(subject: Subject, row: SourceRow) -> Result:
    """Score a row by its loss and by the tokens predicted correctly."""
    windows, size = subject.windows(row)
    found = total(subject.model, windows)
    sums = {"nll": found.nll, "tokens": found.tokens, "right": found.right, "bytes": size}
    return Result({"row_loss": found.loss, "row_token_accuracy": found.right / found.tokens}, sums)


def diverging(subject: Subject, row: SourceRow) -> Result:
    """Score a row by the divergence from the reference, and by the tokens on which both agree."""
    kl, equal, tokens = divergence(subject.model, subject.reference, subject.windows(row)[0])
    return Result({"row_kl": kl / tokens, "row_agreement": equal / tokens}, {"kl": kl, "tokens": tokens, "equal": equal})


def preferring(subject: Subject, row: SourceRow) -> Result:
    """Score a row by whether the chosen answer is more probable than the rejected one."""
    return Result(preference.scores(subject.model, subject.last_turn, row, subject.options.max_length))


def calibrated(subject: Subject, row: SourceRow) -> Result:
    """Score a row by whether the most probable choice is the right one, and by its probability."""
    return Result(calibration.scores(subject.model, subject.encoder, row))


TASKS: Mapping[str, Callable[[Subject, SourceRow], Result]] = {
    "perplexity": perplexity,
    "divergence": diverging,
    "preference": preferring,
    "calibration": calibrated,
}


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
        tasks = asked.tasks or ("perplexity",)
        rows = {task: self._rows(task, asked) for task in tasks}
        work = {task: [(name, row) for name, row in found.items() if (task, name, 0) not in asked.recorded] for task, found in rows.items()}
        asked.expect(sum(map(len, work.values())))
        subject = Subject(checkpoint, asked, self.options)
        every: dict[str, list[Mapping[str, float]]] = {task: [] for task in tasks}  # scores and sums of each row
        for task in tasks:
            earlier = [item for (name, _, _), item in asked.recorded.items() if name == task]
            every[task] += [{**item.scores, **json.loads(item.output)} for item in earlier]
            for name, row in work[task]:
                result = TASKS[task](subject, row)
                asked.record(
                    Item(
                        task=task,
                        id=name,
                        prompt=prompt_hash(name),
                        question=text_of(row),
                        output=json.dumps(result.sums),
                        scores=result.scores,
                    )
                )
                every[task].append({**result.scores, **result.sums})
        values: dict[str, dict[str, float]] = {}
        errors: dict[str, dict[str, float]] = {}
        for task, scored in every.items():
            found = self._totals(task, scored)
            values[task] = {name: value for name, (value, _) in found.items()}
            errors[task] = {name: error for name, (_, error) in found.items() if error is not None}
        return Scores(values=values, standard_errors=errors, lower_is_better=LOWER, settings=self._settings(asked, tasks))

    def _rows(self, task: str, asked: Evaluation) -> dict[str, SourceRow]:
        """Return the rows of a task by their id, which is a hash of the row."""
        if task not in TASKS:
            raise UsageError(f"there is no task '{task}'", code="EVAL-067", where="tasks", hint=f"Tasks: {', '.join(TASKS)}.")
        path = self._file(task, asked)
        found: dict[str, SourceRow] = {}
        for row in read_rows(path):
            found.setdefault(question_id(dict(row.data)), row)
        return dict(list(found.items())[: asked.limit or None])

    def _file(self, task: str, asked: Evaluation) -> Path:
        path = asked.data.get(task) or (Path(self.options.rows) if self.options.rows else None)
        if path is None:
            raise UsageError(f"the task {task} has no rows", code="EVAL-068", where="rows", hint="Add --rows FILE.jsonl.")
        return path

    def _totals(self, task: str, scored: list[Mapping[str, float]]) -> dict[str, tuple[float, float | None]]:
        """Return the scores that are no mean of rows, with their standard errors."""

        def over(name: str, per: str = "tokens") -> tuple[float, float | None]:
            return ratio([row[name] for row in scored], [row[per] for row in scored])

        if task == "perplexity":
            loss, error = over("nll")
            ppl = math.exp(min(loss, 700.0))
            found: dict[str, tuple[float, float | None]] = {
                "loss": (loss, error),
                "perplexity": (ppl, None if error is None else ppl * error),
                "token_accuracy": over("right"),
            }
            if all(row["bytes"] for row in scored):
                bits, wide = over("nll", "bytes")
                found["bits_per_byte"] = (bits / math.log(2), None if wide is None else wide / math.log(2))
            return found
        if task == "divergence":
            return {"kl": over("kl"), "top1_agreement": over("equal")}
        if task == "calibration":
            return {"calibration_error": (calibration.expected_error(scored, self.options.bins), None)}
        return {}

    def _settings(self, asked: Evaluation, tasks: tuple[str, ...]) -> dict[str, Any]:
        files = {task: self._file(task, asked) for task in tasks}
        hashes = sha256_of([path for path in files.values() if path.is_file()])
        return {"data": {task: {"path": str(path), "sha256": hashes.get(path, "")} for task, path in files.items()}}
