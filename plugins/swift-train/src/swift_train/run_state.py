"""The numbers of a run: where it is, and what is reported of the steps since the last report."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any


@dataclass(slots=True)
class RunState:
    """Where the loop is: all that a resumed run needs beside the strategy's own."""

    step: int = 0  # steps of data done
    updates: int = 0  # updates applied, the schedule's position
    skipped: int = 0  # updates left out in a row
    evaluated: int = -1  # step after which the held-out rows were last scored
    tokens: int = 0
    supervised: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # the first and the last
    heldout: list[float] = field(default_factory=list)  # before and last

    def figures(self) -> dict[str, Any]:
        """The run's numbers so far."""
        figures: dict[str, Any] = {
            "steps": self.step,
            "tokens": self.tokens,
            "supervised": self.supervised,
            "seconds": round(self.seconds, 3),
        }
        figures |= dict(zip(("loss_first", "loss_last"), self.losses, strict=False))
        return figures | dict(zip(("heldout_before", "heldout_after"), self.heldout, strict=False))


class MetricsWindow:
    """The steps since the last report: means of the losses, sums of the tokens, the rest as it was last. What is no number is left out."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def add(self, values: dict[str, float]) -> None:
        """A step more."""
        self.steps.append(values)

    def values(self) -> dict[str, float]:
        """What to report."""
        last, tokens = self.steps[-1], sum(step["tokens"] for step in self.steps)
        seconds = sum(step["tokens"] / step["tokens_per_second"] for step in self.steps)
        sums: dict[str, float] = {"tokens": tokens, "supervised": sum(step["supervised"] for step in self.steps)}
        if skipped := sum(step["skipped"] for step in self.steps):
            sums["skipped"] = skipped
        losses = [step["loss"] for step in self.steps if isfinite(step["loss"])]
        loss = {"loss": sum(losses) / len(losses)} if losses else {}
        norm = {"grad_norm": last["grad_norm"]} if isfinite(last["grad_norm"]) else {}
        return {**loss, **norm, "learning_rate": last["learning_rate"], **sums, "tokens_per_second": round(tokens / seconds, 2)}
