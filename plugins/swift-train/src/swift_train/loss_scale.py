"""The loss scale of float16: doubled after many good steps, halved after a bad one. torch's GradScaler, for gradients that are cut."""

from __future__ import annotations

_FIRST, _GOOD_STEPS = 2.0**16, 2000  # torch.amp.GradScaler's own


class LossScale:
    """What the loss is multiplied by before the backward pass: 1 for ever, unless `dynamic`."""

    def __init__(self, *, dynamic: bool) -> None:
        self.dynamic = dynamic
        self.value = _FIRST if dynamic else 1.0
        self.good = 0

    def update(self, *, finite: bool) -> None:
        """Take note of a step's gradient."""
        if not self.dynamic:
            return
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self.good == _GOOD_STEPS:
            self.value, self.good = self.value * 2, 0

    def state(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"value": self.value, "good": self.good}

    def load(self, state: dict[str, float]) -> None:
        """The inverse of `state`."""
        self.value, self.good = float(state["value"]), int(state["good"])
