"""Options of `swift grpo`; the names are those of TRL and ms-swift."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from swift_rollouts.options import Estimator, RewardOptions, Scale

from swift_core.options import option
from swift_plugin_grpo.teacher_options import TeacherOptions

_SPELLED = {"true": "group", "false": "none"}


class GrpoOptions(TeacherOptions, RewardOptions):
    """Options of `swift grpo`."""

    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "gspo", "luspo", "sapo"] = option(
        "dapo",
        "Loss, and what it is a mean over. dapo, bnpo: sampled tokens; grpo, sapo: answers, each the mean of its tokens; dr_grpo: "
        "max_completion_length tokens per answer; cispo: clipped weights instead of clipped terms; gspo: grpo with one ratio per answer; "
        "luspo: answers, each the sum of its tokens.",
    )
    beta: float = option(0.0, "Weight of the KL divergence from the reference policy, which is the model before training.", ge=0)
    kl_in_reward: bool | None = option(
        None,
        "With beta: subtract the divergence, summed over an answer, from its reward, instead of adding it to the loss; default: for the "
        "advantage estimators rloo and reinforce_plus_plus.",
    )
    top_entropy_quantile: float = option(
        1.0, "Share of the sampled tokens of a step, those with the highest entropy, whose losses count.", gt=0, le=1
    )
    teacher_kl_coef: float = option(
        1.0,
        "With a teacher: its log-probability of each token minus that of the model, times this factor, is added to the token's advantage.",
        ge=0,
    )
    epsilon: float = option(0.2, "Lower clipping range of the importance ratio: 1 - epsilon.", ge=0, also=("epsilon_low",))
    epsilon_high: float | None = option(
        None,
        "Upper clipping range of the importance ratio: 1 + epsilon_high; default: epsilon. For cispo, the maximum weight; default: 5.",
        ge=0,
    )
    delta: float | None = option(None, "Upper limit of the unclipped ratio (two-sided clipping); default: none.", gt=0)
    importance_sampling_level: Literal["token", "sequence"] = option(
        "token", "One importance ratio per token, or per answer: the geometric mean over its tokens (GSPO)."
    )
    sapo_temperature_pos: float = option(1.0, "Temperature of sapo for answers with a positive advantage.", gt=0, also=("tau_pos",))
    sapo_temperature_neg: float = option(1.05, "Temperature of sapo for answers with a negative advantage.", gt=0, also=("tau_neg",))
    scale_rewards: Scale = option(
        "group",
        "Divide advantages by the standard deviation of the rewards in the group or in the batch, or do not scale them (none).",
        values=_SPELLED,
    )
    advantage_estimator: Estimator = option(
        "grpo", "Baseline of the rewards: mean of the group (grpo), of its other answers (rloo), or of the batch (reinforce_plus_plus)."
    )
    importance_sampling_correction: Literal["auto", "none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = option(
        "auto",
        "Correction for the difference between the engine's probabilities and the model's own: a weight per token or answer, truncated at "
        "the limits, or masked beyond them. Masked tokens do not count. auto: token_truncate, or none if the engine samples from another "
        "distribution (top_p, top_k, min_p, repetition_penalty).",
        also=("vllm_importance_sampling_mode", "rollout_importance_sampling_mode"),
    )
    importance_sampling_max: float | None = option(
        2.0,
        "Upper limit of that weight.",
        gt=0,
        also=("vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap", "rollout_importance_sampling_threshold"),
    )
    importance_sampling_min: float | None = option(None, "Lower limit of that weight.", gt=0, also=("vllm_importance_sampling_clip_min",))

    @property
    def high(self) -> float:
        """Clipping of the importance ratio above 1."""
        if self.epsilon_high is None:
            return 5.0 if self.loss_type == "cispo" else self.epsilon
        return self.epsilon_high

    @property
    def by_sequence(self) -> bool:
        """True if there is one importance ratio per answer."""
        return self.importance_sampling_level == "sequence" or self.loss_type in ("gspo", "luspo")

    @property
    def correction(self) -> str:
        """The correction that is meant by auto, or the one that is chosen."""
        chosen = self.importance_sampling_correction
        return chosen if chosen != "auto" else "none" if self.truncated else "token_truncate"

    @property
    def masks(self) -> bool:
        """True if the correction masks tokens."""
        return self.correction.endswith("mask")

    @property
    def needs_old(self) -> bool:
        """True if the log-probabilities before the first update with the answers are needed."""
        return self.num_iterations > 1 or self.steps_at_once > 1 or self.masks or self.reduces_rewards

    @property
    def reduces_rewards(self) -> bool:
        """True if the divergence from the reference policy is subtracted from rewards."""
        chosen = self.advantage_estimator != "grpo" if self.kl_in_reward is None else self.kl_in_reward
        return bool(chosen and self.beta)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.num_generations == 1 and not self.has_teacher and self.advantage_estimator != "reinforce_plus_plus":
            raise ValueError(
                "an answer's reward is compared with those of other answers to its prompt: num_generations must be 2 or more, but with a "
                "teacher or with advantage_estimator reinforce_plus_plus"
            )
        if self.reduces_rewards and self.mask_truncated_completions:
            raise ValueError("kl_in_reward needs the divergence of every answer: omit mask_truncated_completions, or kl_in_reward")
        if self.teacher_server and self.temperature != 1:
            raise ValueError("a teacher's server gives log-probabilities at temperature 1: leave temperature at 1, or give teacher_model")
        if self.truncated and self.correction != "none":
            raise ValueError(
                "with top_p, top_k, min_p or repetition_penalty the engine's probabilities are of another distribution: omit "
                "importance_sampling_correction"
            )
        return self


class RlooOptions(GrpoOptions):
    """Options of `swift rloo`."""

    advantage_estimator: Estimator = option(
        "rloo", "Baseline of the rewards: mean of the group (grpo), of its other answers (rloo), or of the batch (reinforce_plus_plus)."
    )
    scale_rewards: Scale = option(
        "none",
        "Divide advantages by the standard deviation of the rewards in the group or in the batch, or do not scale them (none).",
        values=_SPELLED,
    )
