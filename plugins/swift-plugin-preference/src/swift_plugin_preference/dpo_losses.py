"""Losses of a preference pair against a reference policy, by the names that TRL gives them (trl 1.16, `DPOTrainer`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid, relu

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ratios:
    """Log-probability ratios of policy to reference of the answers, (pairs,), and what the losses need beside them.

    Attributes:
        chosen, rejected: log-probability ratios.
        chosen_length, rejected_length: supervised tokens of the answers.
        chosen_reference, rejected_reference: log-probabilities by the reference.
        chosen_aligned, rejected_aligned: for losses that compare the sorted answers of a step, the log-ratios that these are compared with.
        nll: negative log-likelihood per token of the chosen answers.
        beta: strength of the constraint to the reference.
        smoothing: probability that the labels of a pair are swapped.
        tau: temperature of discopop.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor
    chosen_reference: Tensor
    rejected_reference: Tensor
    chosen_aligned: Tensor
    rejected_aligned: Tensor
    nll: Tensor
    beta: float
    smoothing: float
    tau: float

    @property
    def margin(self) -> Tensor:
        """Difference of the ratios, times beta."""
        return self.beta * (self.chosen - self.rejected)

    @property
    def mean_margin(self) -> Tensor:
        """Difference of the ratios per token."""
        return self.chosen / self.chosen_length - self.rejected / self.rejected_length


def _sigmoid(ratios: Ratios) -> Tensor:
    """DPO, Rafailov et al. 2023, arXiv:2305.18290; with smoothing cDPO, Mitchell 2023."""
    return -(1 - ratios.smoothing) * logsigmoid(ratios.margin) - ratios.smoothing * logsigmoid(-ratios.margin)


def _exo(ratios: Ratios) -> Tensor:
    """EXO, Ji et al. 2024, arXiv:2402.00856, equation 16; the smoothing must not be 0."""
    smoothing, margin = torch.tensor(ratios.smoothing), ratios.margin
    chosen = torch.sigmoid(margin) * (logsigmoid(margin) - torch.log1p(-smoothing))
    return chosen + torch.sigmoid(-margin) * (logsigmoid(-margin) - torch.log(smoothing))


def _nca(ratios: Ratios) -> Tensor:
    """NCA, Chen et al. 2024, arXiv:2402.05369."""
    chosen, rejected = ratios.beta * ratios.chosen, ratios.beta * ratios.rejected
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def _robust(ratios: Ratios) -> Tensor:
    """Robust DPO, Chowdhury et al. 2024, arXiv:2403.00409."""
    clean, swapped = -logsigmoid(ratios.margin), -logsigmoid(-ratios.margin)
    return ((1 - ratios.smoothing) * clean - ratios.smoothing * swapped) / (1 - 2 * ratios.smoothing)


def _sppo(ratios: Ratios) -> Tensor:
    """SPPO with hard labels, Wu et al. 2024, arXiv:2405.00675."""
    return (ratios.chosen - 0.5 / ratios.beta) ** 2 + (ratios.rejected + 0.5 / ratios.beta) ** 2


def _apo_zero(ratios: Ratios) -> Tensor:
    """APO-zero, D'Oosterlinck et al. 2024, arXiv:2408.06266, equation 7."""
    return 1 - torch.sigmoid(ratios.beta * ratios.chosen) + torch.sigmoid(ratios.beta * ratios.rejected)


def _discopop(ratios: Ratios) -> Tensor:
    """DiscoPOP, Lu et al. 2024, arXiv:2406.08414, equation 5."""
    share = torch.sigmoid(ratios.margin / ratios.tau)
    return -logsigmoid(ratios.margin) * (1 - share) + torch.exp(-ratios.margin) * share


def _smoothed(difference: Tensor, ratios: Ratios) -> Tensor:
    scaled = ratios.beta * difference
    return -(1 - ratios.smoothing) * logsigmoid(scaled) - ratios.smoothing * logsigmoid(-scaled)


def _aot(ratios: Ratios) -> Tensor:
    """AOT on pairs: sorted differences of the policy against sorted ones of the reference, Melnyk et al. 2024, arXiv:2406.05882."""
    policy = ratios.chosen - ratios.rejected + ratios.chosen_reference - ratios.rejected_reference
    return _smoothed(policy - ratios.chosen_aligned, ratios)


def _aot_unpaired(ratios: Ratios) -> Tensor:
    """AOT on answers: sorted ratios of the chosen against those of the rejected. Each answer has its gradient, the value counts once."""
    chosen = _smoothed(ratios.chosen - ratios.chosen_aligned, ratios)
    rejected = _smoothed(ratios.rejected_aligned - ratios.rejected, ratios)
    return chosen + rejected - rejected.detach()


LOSSES: Mapping[str, Callable[[Ratios], Tensor]] = {
    "sigmoid": _sigmoid,
    "hinge": lambda ratios: relu(1 - ratios.margin),  # SLiC, Zhao et al. 2023, arXiv:2305.10425
    "ipo": lambda ratios: (ratios.mean_margin - 1 / (2 * ratios.beta)) ** 2,  # Azar et al. 2023, arXiv:2310.12036, per token
    "exo_pair": _exo,
    "nca_pair": _nca,
    "robust": _robust,
    "bco_pair": lambda ratios: -logsigmoid(ratios.beta * ratios.chosen) - logsigmoid(-ratios.beta * ratios.rejected),
    "sppo_hard": _sppo,
    "apo_zero": _apo_zero,
    "apo_down": lambda ratios: torch.sigmoid(ratios.beta * ratios.chosen) + 1 - torch.sigmoid(ratios.margin),  # equation 8 of APO
    "discopop": _discopop,
    "sft": lambda ratios: ratios.nll,
    "aot": _aot,
    "aot_unpaired": _aot_unpaired,
    "sigmoid_norm": lambda ratios: -logsigmoid(ratios.beta * ratios.mean_margin),
}
