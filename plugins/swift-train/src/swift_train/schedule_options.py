"""Options of the learning rate schedules beside warm-up and length, by transformers' names (`lr_scheduler_kwargs`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from swift_core.options import Options, option

_NAMES = {"lr_end": "min_lr", "min_lr_ratio": "min_lr_rate"}


class ScheduleOptions(Options):
    """Options of single schedules."""

    num_cycles: int = option(1, "Cosine cycles of cosine-restarts.", ge=1)
    power: float = option(1.0, "Exponent of polynomial; 1 is linear.", gt=0)
    num_decay_steps: float = option(0, "Steps of the decay of wsd, at the end, or below 1 a fraction of all steps; default: a tenth.", ge=0)
    decay_type: Literal["cosine", "linear", "1-sqrt"] = option("cosine", "Shape of the decay of wsd.")
    min_lr: float = option(0.0, "Learning rate at the end, as min_learning_rate.", ge=0)
    min_lr_rate: float = option(0.0, "Learning rate at the end, as a fraction of the peak.", ge=0, le=1, also=("cosine_min_lr_ratio",))

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        """Read the names that transformers has for these options in single schedules."""
        return {_NAMES.get(key, key): value for key, value in values.items()} if isinstance(values, dict) else values
