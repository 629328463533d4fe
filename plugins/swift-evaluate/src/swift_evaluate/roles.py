"""Evaluators: what they are asked, and what they give: answered questions and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from swift_core.contract import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An answered question."""

    task: str  # name of the task, as in `Evaluation.tasks` or a subset of it
    id: str  # the same in every run: the data set's own id, else a hash of the question
    sample: int = 0  # which of several answers to the same question
    cluster: str = ""  # what items share that belong together: a passage, a subject, a conversation; '': the item stands alone
    prompt: str = ""  # SHA-256 of the prompt as it was sent
    question: str = ""  # the text of the question, without few-shot examples
    output: str = ""  # the answer of the model; of a failed item, the error
    expected: str = ""  # the reference answer; '': there is none
    status: Literal["ok", "failed", "truncated"] = "ok"  # failed: no answer; it has no scores, so it does not count as wrong
    scores: Mapping[str, float] = field(default_factory=dict)  # metric -> score


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The request to an evaluator. `None` leaves a value to the evaluator."""

    folder: Path  # for the evaluator's own files; it exists, and is kept in the run folder
    interrupted: Path | None = None  # `folder` of the interrupted run that is resumed
    record: Callable[[Item], None]  # keeps an item at once, and shows the progress; safe to call from several threads
    expect: Callable[[int], None] = lambda count: None  # announces that this many more items will be recorded
    recorded: Mapping[tuple[str, str, int], Item] = field(default_factory=dict)  # (task, id, sample): items that need not be asked again
    tasks: tuple[str, ...] = ()  # empty: the evaluator's default tasks
    data: Mapping[str, Path] = field(default_factory=dict)  # task -> local data
    limit: int = 0  # maximum items per task; 0: all
    few_shot: int | None = None  # number of worked examples before each question
    samples: int = 1  # answers per question
    concurrency: int = 8  # maximum concurrent requests
    seed: int = 0  # seed of sampling and of the choice of examples
    max_tokens: int | None = None  # maximum tokens of an answer
    temperature: float | None = None  # sampling temperature; 0: greedy
    allow_code: bool = False  # generated code may be executed, in the sandbox
    checkpoint: Path | None = None  # the checkpoint behind the server, if it is known
    adapters: Mapping[str, Path] = field(default_factory=dict)  # for an inline evaluator that applies them


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Results by task: `values["gsm8k"]["accuracy"]`. Means of the recorded items need not be repeated; if they are, both are compared.

    `standard_errors` has the same keys, for scores that are no mean of items and whose standard error is known.
    """

    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # task -> metric -> score
    standard_errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    lower_is_better: tuple[str, ...] = ()  # names of metrics such as a loss
    settings: Mapping[str, Any] = field(default_factory=dict)  # what decides the scores, as JSON: versions, prompt, filter, data hash


class Evaluator(Protocol):
    """An evaluator of the model of a server."""

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Evaluate `server.models[0]`, and record every item. A question without an answer is a failed item.

        Raises:
            UsageError: a task is unknown.
            SwiftError: the server failed.
        """
        ...


class InlineEvaluator(Protocol):
    """An evaluator that loads the checkpoint itself: `EvaluatorSpec(over="inline")`."""

    def evaluate(self, checkpoint: Path, asked: Evaluation) -> Scores:
        """Evaluate the checkpoint in this folder; otherwise as `Evaluator.evaluate`."""
        ...
