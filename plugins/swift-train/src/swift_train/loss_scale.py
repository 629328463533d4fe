"""Dynamic loss scaling for float16 with sharded gradients: `torch.amp.GradScaler`'s rule, one decision for all ranks."""

from __future__ import annotations

_INITIAL, _GROWTH_INTERVAL = 2.0**16, 2000  # the defaults of torch.amp.GradScaler


class LossScale:
    """The factor of the loss before the backward pass: doubled after 2,000 finite steps, halved after an overflow; 1 unless `dynamic`."""

    def __init__(self, *, dynamic: bool) -> None:
        self.dynamic = dynamic
        self.value = _INITIAL if dynamic else 1.0
        self.good = 0

    def update(self, *, finite: bool) -> None:
        """Adjust the scale after a step; `finite` says whether its gradient norm was finite."""
        if not self.dynamic:
            return
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self.good == _GROWTH_INTERVAL:
            self.value, self.good = self.value * 2, 0

    def state(self) -> dict[str, float]:
        """Return the state to save in a checkpoint."""
        return {"value": self.value, "good": self.good}

    def load(self, state: dict[str, float]) -> None:
        """Restore what `state` returned."""
        self.value, self.good = float(state["value"]), int(state["good"])
