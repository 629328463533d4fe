"""Options of `swift gkd`; the names are those of TRL and ms-swift."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator
from swift_rollouts.options import RolloutOptions

from swift_core.options import option
from swift_plugin_grpo.teacher_options import TeacherOptions


class GkdOptions(TeacherOptions, RolloutOptions):
    """Options of `swift gkd`."""

    beta: float | None = option(
        None,
        "With teacher_model: divergence between 0 (forward, from teacher to student) and 1 (reverse), the generalised Jensen-Shannon "
        "divergence of Agarwal et al.; default 0.5. With teacher_server, only the reverse divergence is available.",
        ge=0,
        le=1,
    )
    lmbda: float = option(
        1.0,
        "Fraction of the prompts whose answers the student samples; for the others, the answers of the rows are used (chat rows).",
        ge=0,
        le=1,
    )
    sft_alpha: float = option(0.0, "Weight of the negative log-likelihood of the rows' own answers, added to the loss.", ge=0)
    metric_for_best_model: str = option(
        "divergence",
        "Metric of the answers to held-out prompts that decides on the best checkpoint and early stopping: divergence from the teacher, …",
    )

    @property
    def sampled_share(self) -> float:
        """Share of the prompts whose answers are sampled."""
        return self.lmbda

    @property
    def divergence(self) -> float:
        """The interpolation between the forward and the reverse divergence."""
        return 0.5 if self.beta is None else self.beta

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.num_iterations > 1 or self.steps_at_once > 1:
            raise ValueError("answers are trained on once: leave num_iterations and steps_per_generation at 1")
        if self.teacher_server and (self.lmbda < 1 or self.beta not in (None, 1)):
            raise ValueError("a teacher's server is asked about sampled tokens only: leave lmbda and beta at 1, or give teacher_model")
        return self
