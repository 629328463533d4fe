"""Options of the preference tasks."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from swift_train.options import TRUNCATIONS, ScoreOptions, SupervisedOptions

from swift_core.options import Options, option

DpoLoss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop", "sft",
    "sigmoid_norm", "aot", "aot_unpaired",
]  # fmt: skip


class PairOptions(SupervisedOptions):
    """Options of every task on answers to a prompt; `max_length` is that of a prompt with one answer."""

    truncation: Literal["error", "left", "right", "drop"] = option(
        "error",
        "How to handle a prompt with an answer longer than max_length: error, cut on the left or right, or drop the pair.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )


class ReferenceOptions(Options):
    """Options of every task with a reference policy."""

    beta: float = option(0.1, "Strength of the constraint to the reference policy; larger values keep the model closer to it.", gt=0)


class DpoLossOptions(ReferenceOptions):
    """Options of the losses of a preference pair against a reference policy."""

    loss_type: list[DpoLoss] = option(lambda: ["sigmoid"], "Loss of a pair; several are added, each with its weight in loss_weights.")
    loss_weights: list[float] = option(list, "Weights of the losses in loss_type; default: 1 each.")
    label_smoothing: float = option(0.0, "Probability that the labels of a pair are swapped (cDPO, robust, exo_pair).", ge=0, lt=0.5)
    discopop_tau: float = option(0.05, "Temperature of the loss discopop.", gt=0)
    rpo_alpha: float = option(0.0, "Weight of the negative log-likelihood of the chosen answer, added to the loss (RPO).", ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.loss_weights and len(self.loss_weights) != len(self.loss_type):
            raise ValueError(f"{len(self.loss_weights)} loss_weights for {len(self.loss_type)} losses in loss_type")
        if len({"aot", "aot_unpaired"} & {*self.loss_type}) > 1:
            raise ValueError("aot and aot_unpaired sort the answers of a step in two ways: use one of them")
        return self


class DpoOptions(DpoLossOptions, PairOptions):
    """Options of `swift dpo`."""


class KtoOptions(ReferenceOptions, PairOptions):
    """Options of `swift kto`."""

    desirable_weight: float = option(1.0, "Weight of the losses of good answers.", gt=0)
    undesirable_weight: float = option(1.0, "Weight of the losses of bad answers.", gt=0)


class OrpoOptions(PairOptions):
    """Options of `swift orpo`."""

    beta: float = option(0.1, "Weight of the odds ratio loss.", gt=0)


class CpoOptions(PairOptions):
    """Options of `swift cpo`."""

    loss_type: Literal["sigmoid", "hinge", "ipo", "simpo"] = option("sigmoid", "Loss of a pair.")
    beta: float = option(0.1, "Factor of the log-probabilities in the loss.", gt=0)
    cpo_alpha: float = option(1.0, "Weight of the negative log-likelihood of the chosen answer.", ge=0)
    simpo_gamma: float = option(0.5, "Target reward margin of the loss simpo.", ge=0)
    label_smoothing: float = option(0.0, "Probability that the labels of a pair are swapped.", ge=0, lt=0.5)


class SimpoOptions(CpoOptions):
    """Options of `swift simpo`: those of `cpo`, with the defaults of SimPO."""

    loss_type: Literal["sigmoid", "hinge", "ipo", "simpo"] = option("simpo", "Loss of a pair.")
    beta: float = option(2.0, "Factor of the mean log-probabilities in the loss.", gt=0)
    cpo_alpha: float = option(0.0, "Weight of the negative log-likelihood of the chosen answer.", ge=0)
    simpo_gamma: float = option(1.0, "Target reward margin of the loss.", ge=0)


class RmOptions(ScoreOptions):
    """Options of `swift rm`."""

    center_rewards_coefficient: float = option(
        0.0, "Weight of the squared sum of a pair's two scores, added to the loss so that the scores have a mean of 0.", ge=0
    )
