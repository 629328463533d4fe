"""The tasks of `builtin`: each scores rows, several at once so that they can share forward passes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence as Rows
from dataclasses import dataclass, field
from itertools import islice

from swift_evaluate.rows.files import SourceRow

from swift_plugin_transformers.evaluation.likelihood import agreements, ratio, totals
from swift_plugin_transformers.evaluation.subject import Subject

Numbers = Mapping[str, float]
Estimates = dict[str, tuple[float, float | None]]  # score → value and standard error


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a row: its scores, and sums for scores that are ratios of sums over the rows."""

    scores: Numbers
    sums: Numbers = field(default_factory=dict)


class Task(ABC):
    """A task, built for the checkpoint that is evaluated."""

    lower_is_better: tuple[str, ...] = ()

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @abstractmethod
    def results(self, rows: Rows[SourceRow]) -> Iterator[Result]:
        """Yield the result of each row."""

    def estimates(self, scored: Rows[Numbers]) -> Estimates:
        """Return the scores that are no mean of rows, from the scores and sums of all rows."""
        return {}


class Perplexity(Task):
    """The loss of rows, and the tokens predicted correctly."""

    lower_is_better = ("loss", "row_loss", "perplexity", "bits_per_byte")

    def results(self, rows: Rows[SourceRow]) -> Iterator[Result]:
        """Yield the sums of each row."""
        encoded = [self.subject.windows(row) for row in rows]
        found = iter(totals(self.subject.model, [window for windows, _ in encoded for window in windows]))
        for windows, size in encoded:
            first, *others = islice(found, len(windows))
            total = sum(others, first)
            sums = {"nll": total.nll, "tokens": total.tokens, "right": total.right, "bytes": size}
            yield Result({"row_loss": total.loss, "row_token_accuracy": total.right / total.tokens}, sums)

    def estimates(self, scored: Rows[Numbers]) -> Estimates:
        """Return loss and perplexity over all tokens, next-token accuracy, and bits per byte of texts."""
        loss, error = _over(scored, "nll")
        ppl = math.exp(min(loss, 700.0))
        found: Estimates = {
            "loss": (loss, error),
            "perplexity": (ppl, None if error is None else ppl * error),
            "token_accuracy": _over(scored, "right"),
        }
        if all(row["bytes"] for row in scored):
            bits, wide = _over(scored, "nll", "bytes")
            found["bits_per_byte"] = (bits / math.log(2), None if wide is None else wide / math.log(2))
        return found


class Divergence(Task):
    """The divergence from the reference, and the tokens on which both agree."""

    lower_is_better = ("kl", "row_kl")

    def results(self, rows: Rows[SourceRow]) -> Iterator[Result]:
        """Yield the sums of each row."""
        reference = self.subject.reference
        encoded = [self.subject.windows(row)[0] for row in rows]
        found = iter(agreements(self.subject.model, reference, [window for windows in encoded for window in windows]))
        for windows in encoded:
            first, *others = islice(found, len(windows))
            total = sum(others, first)
            sums = {"kl": total.kl, "tokens": total.tokens, "equal": total.equal}
            yield Result({"row_kl": total.kl / total.tokens, "row_agreement": total.equal / total.tokens}, sums)

    def estimates(self, scored: Rows[Numbers]) -> Estimates:
        """Return the divergence and the agreement over all tokens."""
        return {"kl": _over(scored, "kl"), "top1_agreement": _over(scored, "equal")}


def _over(scored: Iterable[Numbers], name: str, per: str = "tokens") -> tuple[float, float | None]:
    rows = list(scored)
    return ratio([row[name] for row in rows], [row[per] for row in rows])
