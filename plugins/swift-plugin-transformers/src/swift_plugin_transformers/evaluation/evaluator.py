"""Perplexity, next-token accuracy, divergence from a reference, preference accuracy and calibration of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_evaluate import prompt_hash, question_id
from swift_evaluate.rows.files import SourceRow, read_rows
from swift_train.build import load_checkpoint, source_of
from swift_train.processors import tokenizer_of

from swift_core.checkpoints import family_of
from swift_core.contract import Evaluation, Item, Scores, SwiftError, UsageError
from swift_core.system import sha256_of
from swift_plugin_transformers.evaluation import calibration, preference
from swift_plugin_transformers.evaluation.encoding import RowEncoder, Tokens
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
    sums: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # task -> row -> sums, for scores that are ratios of sums

    @cached_property
    def loaded(self) -> Any:
        """The model and its tokenizer."""
        options = self.options
        return load_checkpoint(self.checkpoint, device=options.device, dtype=options.dtype, adapters=self.asked.adapters)

    @property
    def model(self) -> Module:
        """The model, with its first adapter active."""
        model: Module = self.loaded.model
        return model

    @cached_property
    def reference(self) -> Module:
        """The model to compare with.

        Raises:
            UsageError: there is none, or it has another tokenizer.
        """
        if not self.options.reference:
            hint = "Add --reference FOLDER, such as the checkpoint before quantization."
            raise UsageError("the task divergence needs a reference checkpoint", where="reference", hint=hint)
        loaded = load_checkpoint(Path(self.options.reference), device=self.options.device, dtype=self.options.dtype)
        if tokenizer_of(loaded.processor).get_vocab() != self.encoder().tokenizer.get_vocab():
            raise UsageError("the reference has another vocabulary", where="reference", hint="Name a checkpoint of the same base model.")
        return loaded.model

    def encoder(self, turns: str = "all") -> RowEncoder:
        """Return the encoder of rows."""
        return RowEncoder(tokenizer_of(self.loaded.processor), family_of(source_of(self.checkpoint)).stop_tokens, turns=turns)

    def tokens(self, row: SourceRow) -> Tokens:
        """Return the tokens of a row.

        Raises:
            UsageError: no token counts.
        """
        found = self.encoder().encode(row)
        if not any(found.counted):
            raise UsageError("no token of the row counts", where=row.where, hint="Text must not be empty; a conversation needs an answer.")
        return found


def perplexity(subject: Subject, row: SourceRow) -> Mapping[str, float]:
    """Return the sums of a row: negative log-likelihood, tokens, tokens predicted correctly, bytes of the text."""
    tokens = subject.tokens(row)
    found = total(subject.model, subject.encoder().windows(tokens, subject.options.max_length))
    size = float(len(tokens.text.encode())) if all(tokens.counted) else 0.0
    return {"row_loss": found.loss, "nll": found.nll, "tokens": found.tokens, "right": found.right, "bytes": size}


def diverging(subject: Subject, row: SourceRow) -> Mapping[str, float]:
    """Return the sums of a row: divergence, tokens, and tokens on which both agree."""
    windows = list(subject.encoder().windows(subject.tokens(row), subject.options.max_length))
    kl, equal, tokens = divergence(subject.model, subject.reference, windows)
    return {"row_kl": kl / tokens, "kl": kl, "tokens": tokens, "equal": equal}


def preferring(subject: Subject, row: SourceRow) -> Mapping[str, float]:
    """Return whether the chosen answer is more probable than the rejected one."""
    return preference.scores(subject.model, subject.encoder("last"), row, subject.options.max_length)


def calibrated(subject: Subject, row: SourceRow) -> Mapping[str, float]:
    """Return whether the most probable choice is the right one, and its probability."""
    return calibration.scores(subject.model, subject.encoder(), row)


TASKS: Mapping[str, Callable[[Subject, SourceRow], Mapping[str, float]]] = {
    "perplexity": perplexity,
    "divergence": diverging,
    "preference": preferring,
    "calibration": calibrated,
}
_SUMS = ("nll", "tokens", "right", "bytes", "kl", "equal")


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
        every: dict[str, list[Mapping[str, float]]] = {task: [] for task in tasks}
        for task in tasks:
            every[task] += [item.scores for (name, _, _), item in asked.recorded.items() if name == task]
            for name, row in work[task]:
                scores = TASKS[task](subject, row)
                asked.record(Item(task=task, id=name, prompt=prompt_hash(name), scores=scores))
                every[task].append(scores)
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
            raise UsageError(f"there is no task '{task}'", where="tasks", hint=f"Tasks: {', '.join(TASKS)}.")
        path = self._file(task, asked)
        found: dict[str, SourceRow] = {}
        for row in read_rows(path):
            found.setdefault(question_id(dict(row.data)), row)
        return dict(list(found.items())[: asked.limit or None])

    def _file(self, task: str, asked: Evaluation) -> Path:
        path = asked.data.get(task) or (Path(self.options.rows) if self.options.rows else None)
        if path is None:
            raise UsageError(f"the task {task} has no rows", where="rows", hint="Add --rows FILE.jsonl.")
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


__all__ = ["Builtin", "SwiftError"]
