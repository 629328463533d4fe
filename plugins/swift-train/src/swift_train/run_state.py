"""The state of the training loop, and the metrics of the steps since the last report."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

_OF_THE_LOOP = ("loss", "grad_norm", "learning_rate", "tokens", "supervised", "tokens_per_second", "skipped")


@dataclass(slots=True)
class RunState:
    """The position and totals of the loop, which a resumed run needs in addition to the strategy's state."""

    step: int = 0  # steps done, skipped updates included
    updates: int = 0  # updates applied: the position in the schedule
    skipped: int = 0  # consecutive updates skipped
    evaluated: int = -1  # step of the last evaluation
    tokens: int = 0
    supervised: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # training loss of the first and the last step
    heldout: list[float] = field(default_factory=list)  # validation loss before training and of the last evaluation
    best: float | None = None  # metric_for_best_model of the best evaluation
    best_step: int = -1

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run so far, by name."""
        figures: dict[str, Any] = {
            "steps": self.step,
            "tokens": self.tokens,
            "supervised": self.supervised,
            "seconds": round(self.seconds, 3),
        }
        figures |= dict(zip(("loss_first", "loss_last"), self.losses, strict=False))
        return figures | dict(zip(("heldout_before", "heldout_after"), self.heldout, strict=False))


class MetricsWindow:
    """Metrics of the steps since the last report: mean loss and metrics of the task, total tokens, last gradient norm and rate.

    Non-finite values are omitted.
    """

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def add(self, values: dict[str, float]) -> None:
        """Add the metrics of a step."""
        self.steps.append(values)

    def values(self) -> dict[str, float]:
        """Return the metrics to report."""
        last, tokens = self.steps[-1], sum(step["tokens"] for step in self.steps)
        seconds = sum(step["tokens"] / step["tokens_per_second"] for step in self.steps)
        sums: dict[str, float] = {"tokens": tokens, "supervised": sum(step["supervised"] for step in self.steps)}
        if skipped := sum(step["skipped"] for step in self.steps):
            sums["skipped"] = skipped
        losses = [step["loss"] for step in self.steps if isfinite(step["loss"])]
        loss = {"loss": sum(losses) / len(losses)} if losses else {}
        norm = {"grad_norm": last["grad_norm"]} if isfinite(last["grad_norm"]) else {}
        own = {
            name: [step[name] for step in self.steps if name in step] for step in self.steps for name in step if name not in _OF_THE_LOOP
        }
        means = {name: sum(values) / len(values) for name, values in own.items()}
        return {**loss, **means, **norm, "learning_rate": last["learning_rate"], **sums, "tokens_per_second": round(tokens / seconds, 2)}
