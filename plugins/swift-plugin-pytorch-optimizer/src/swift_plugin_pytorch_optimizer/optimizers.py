"""Factories of the optimizers. Weight decay is applied to matrices only; a group's learning rate is multiplied by its `mult`."""

from __future__ import annotations

from typing import Any, TypeVar

import pytorch_optimizer as library
import torch
from swift_train.optimizer_factory import DecayOptimizerFactory, Groups
from swift_train.optimizer_options import AdamOptions, BetasOptions
from swift_train.parameter_groups import hidden_matrices

from swift_plugin_pytorch_optimizer.options import ApolloOptions, CameOptions, GaLoreOptions, ScheduleFreeOptions
from swift_plugin_pytorch_optimizer.projections import plain_state, with_projectors

_Options = TypeVar("_Options", bound=BetasOptions)


class _Factory(DecayOptimizerFactory[_Options]):
    @property
    def betas(self) -> tuple[float, float]:
        return self.options.beta1, self.options.beta2


class _GaLore(library.GaLore):
    def state_dict(self) -> dict[str, Any]:
        return plain_state(super().state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(with_projectors(state_dict))


class _Apollo(library.APOLLO):
    def step(self, closure: Any = None) -> Any:
        """Step; the projections are drawn from a generator of their own, so that they are the same on every rank and after a resume."""
        with torch.random.fork_rng():
            torch.manual_seed(self.param_groups[0].get("step", 0))
            return super().step(closure)

    def state_dict(self) -> dict[str, Any]:
        return plain_state(super().state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(with_projectors(state_dict))


class GaLore(_Factory[GaLoreOptions]):
    """GaLore for the matrices of hidden layers, AdamW for all other weights."""

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's GaLore."""
        options = self.options
        projected = {"rank": options.rank, "update_proj_gap": options.update_interval, "scale": options.scale, "projection_type": "std"}
        made = [{**group, **projected} if hidden_matrices(group) else group for group in groups]
        return _GaLore(made, lr=lr, betas=self.betas, eps=options.eps)


class Apollo(_Factory[ApolloOptions]):
    """APOLLO for the matrices of hidden layers, AdamW for all other weights."""

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's APOLLO."""
        options = self.options
        projected = {"rank": options.rank, "update_proj_gap": options.update_interval, "scale": options.scale, "projection_type": "std"}
        made = [{**group, **projected} if hidden_matrices(group) else group for group in groups]
        return _Apollo(made, lr=lr, betas=self.betas, scale_type=options.scale_type, eps=options.eps)


class ScheduleFreeAdamW(_Factory[ScheduleFreeOptions]):
    """Schedule-Free AdamW: evaluations and checkpoints have the averaged weights."""

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's ScheduleFreeAdamW."""
        options = self.options
        return library.ScheduleFreeAdamW(
            groups, lr=lr, betas=self.betas, r=options.r, weight_lr_power=options.weight_lr_power, warmup_steps=0, eps=options.eps
        )


class StableAdamW(_Factory[AdamOptions]):
    """StableAdamW (Wortsman et al. 2023, https://arxiv.org/abs/2304.13013)."""

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's StableAdamW."""
        return library.StableAdamW(groups, lr=lr, betas=self.betas, eps=self.options.eps)


class Came(_Factory[CameOptions]):
    """CAME (Luo et al. 2023)."""

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's CAME."""
        return library.CAME(groups, lr=lr, betas=(*self.betas, self.options.beta3), clip_threshold=self.options.clip_threshold)


class Adopt(_Factory[AdamOptions]):
    """ADOPT (Taniguchi et al. 2024, https://arxiv.org/abs/2411.02853), with decoupled weight decay."""

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's ADOPT."""
        return library.ADOPT(groups, lr=lr, betas=self.betas, weight_decouple=True, eps=self.options.eps)
