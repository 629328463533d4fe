"""ReFT: a low-rank change of the hidden states after each block, Wu et al. 2024, https://arxiv.org/abs/2404.03592.

The equations are those of pyreft's interventions, at every position. W starts as the basis R, and other learned values at zero, so that
training begins at the base model; `consreft` alone replaces a subspace by a constant from the start.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from swift_core.contract import UsageError
from swift_plugin_added_layers.added import AddedLayersTuner
from swift_plugin_added_layers.options import ReftOptions


class Intervention(nn.Module):
    """One intervention.

    Attributes:
        basis: (size, rank); its columns are orthonormalised in each pass, but for noreft and nodireft.
        source: the linear map W with its bias b, if the variant has one.
        constant: (rank,), the learned b of a variant without W.
    """

    def __init__(self, size: int, options: ReftOptions) -> None:
        super().__init__()
        self._variant = options.variant
        self.basis = nn.Parameter(torch.empty(size, options.rank))
        self._start_basis()
        self.dropout = nn.Dropout(options.dropout)
        self.source: nn.Linear | None = None
        self.constant: nn.Parameter | None = None
        if options.variant in ("consreft", "lobireft"):
            self.constant = nn.Parameter(torch.zeros(options.rank))
            return
        self.source = nn.Linear(size, options.rank)
        nn.init.zeros_(self.source.bias)
        with torch.no_grad():
            self.source.weight.copy_(self.basis.T if options.variant in ("loreft", "noreft") else torch.zeros_like(self.source.weight))

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to the hidden states."""
        basis = self.basis if self._variant.startswith("no") else _orthonormal(self.basis)
        if self.source is not None:
            target: Tensor = self.source(states)
        else:
            assert self.constant is not None
            target = self.constant.expand(*states.shape[:-1], -1)
        if self._variant in ("loreft", "noreft", "consreft"):
            target = target - states @ basis
        dropped: Tensor = self.dropout(target @ basis.T)
        return dropped

    @torch.no_grad()
    def _start_basis(self) -> None:
        """Start with orthonormal columns."""
        self.basis.normal_()
        if not self.basis.is_meta:
            self.basis.copy_(_orthonormal(self.basis))


class ReftTuner(AddedLayersTuner[ReftOptions]):
    """Adds interventions."""

    kind, own = "REFT", ReftOptions

    def places(self, blocks: nn.ModuleList, options: ReftOptions) -> Iterator[tuple[int, str]]:
        """Yield the blocks named in the options, or all."""
        for number in options.layers or range(len(blocks)):
            if not 0 <= number < len(blocks):
                message = f"the model has no block {number}"
                raise UsageError(message, code="PLUGIN-044", where="tuner.layers", hint=f"Choose from 0 to {len(blocks) - 1}.")
            yield number, ""

    def layer(self, size: int, options: ReftOptions) -> nn.Module:
        """Return one intervention."""
        if options.rank > size:
            message = f"hidden states have {size} dimensions"
            raise UsageError(message, code="PLUGIN-045", where="tuner.rank", hint=f"Choose at most {size}.")
        return Intervention(size, options)


def _orthonormal(basis: Tensor) -> Tensor:
    """Return an orthonormal basis of the columns' span, (size, rank), whose signs follow them."""
    found, triangle = torch.linalg.qr(basis.float())
    orthonormal: Tensor = (found * triangle.diagonal().sign()).to(basis.dtype)
    return orthonormal
