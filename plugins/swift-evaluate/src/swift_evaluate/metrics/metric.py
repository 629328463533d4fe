"""The base class of metrics, and finding one by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, ClassVar

from swift_core.contract import Ref, SwiftError, UsageError, suggestion
from swift_core.options import Invalid, Options

GROUP = "swift.metrics"
Summary = Mapping[str, tuple[float, float | None]]  # metric -> value and its standard error, if it is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """An answer to be scored: its `text` after the filter, the `expected` answers of which one is enough, and the `row` of the data."""

    text: str
    expected: tuple[str, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    message: Mapping[str, Any] = field(default_factory=dict)  # the whole message of the server, with its tool calls
    question: str = ""  # text of the last user turn
    choices: Mapping[str, str] = field(default_factory=dict)  # letter -> text, of multiple choice
    scores: Mapping[str, float] = field(default_factory=dict)  # what `score` has returned, for `summarize`


class Metric(Options):
    """Base of every metric; its fields are its options. Methods are called from several threads."""

    version: ClassVar[str] = "1"  # recorded with the scores; change it if the same answer gets another score
    runs_code: ClassVar[bool] = False  # executes generated code: refused without --allow-code

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check, before the first question, that a row of the data has what the metric needs.

        Raises:
            ValueError: it does not; the message says what is missing.
        """
        if not expected:
            raise ValueError("the row has no expected answer")

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return the scores of an answer, usually one under the metric's own name."""
        raise NotImplementedError

    def summarize(self, questions: Sequence[Sequence[Graded]]) -> Summary:
        """Return scores of the whole task that are no mean of the answers' scores; the answers to each question are given together."""
        return {}


def find_metric(name: str, options: Mapping[str, Any] | None = None, *, where: str = "metrics") -> Metric:
    """Return a metric.

    Args:
        name: its name in the entry-point group `swift.metrics`, or `module:Class`.
        options: its options.
        where: the place in the user's file that names it.

    Raises:
        UsageError: there is no such metric, or its options are wrong.
    """
    known = {point.name: point.value for point in entry_points(group=GROUP)}
    if name not in known and ":" not in name:
        hint = f"{suggestion(name, known)} Metrics: {', '.join(sorted(known))}.".strip()
        raise UsageError(f"there is no metric '{name}'", code="EVAL-091", where=where, hint=hint)
    try:
        kind = Ref(known.get(name, name)).load()
    except SwiftError as error:
        raise UsageError(
            f"the metric '{name}' can't be imported: {error.message}", code=error.code, where=where, hint=error.hint
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Metric)):
        raise UsageError(
            f"'{name}' is not a metric", code="EVAL-092", where=where, hint="Name a subclass of swift_evaluate.metrics.metric.Metric."
        )
    try:
        return kind.checked(dict(options or {}))
    except Invalid as error:
        raise error.with_context(where=f"{where}.{name}") from None
