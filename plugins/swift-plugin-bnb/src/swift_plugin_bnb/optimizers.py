"""Factories of bitsandbytes' optimizers: AdamW, Lion and AdEMAMix, with an 8-bit state, a paged state, or both.

The state of embeddings has 32 bits, as in transformers. Weight decay is applied to matrices only; a group's learning rate is multiplied
by its `mult`. Method: Dettmers et al. 2022, https://arxiv.org/abs/2110.02861
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import bitsandbytes
from swift_train.local_shards import on_local_shards
from swift_train.optimizer_factory import DecayOptimizerFactory, Groups
from swift_train.optimizer_options import AdamOptions, DecayOptions
from swift_train.parameter_groups import EMBEDDING

from swift_plugin_bnb.optimizer_options import AdEMAMixOptions, LionOptions

_Options = TypeVar("_Options", bound=DecayOptions)
optim: Any = bitsandbytes.optim


class _Factory(DecayOptimizerFactory[_Options]):
    library: ClassVar[Any]

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's optimizer, with a 32-bit state of embeddings."""
        return on_local_shards(groups, lambda own: _exact_embeddings(self.library)(list(own), lr=lr, **self._arguments()))

    def _arguments(self) -> dict[str, Any]:
        raise NotImplementedError


def _exact_embeddings(library: Any) -> Any:
    """Return the class with a 32-bit state of embeddings, whose gradients are too uneven for 8 bits."""

    def get_config(self: Any, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = library.get_config(self, gindex, pindex, group)
        return {**config, "optim_bits": 32} if group.get(EMBEDDING) else config

    return type(library.__name__, (library,), {"get_config": get_config})


class _AdamW(_Factory[AdamOptions]):
    def _arguments(self) -> dict[str, Any]:
        return {"betas": (self.options.beta1, self.options.beta2), "eps": self.options.eps}


class _Lion(_Factory[LionOptions]):
    def _arguments(self) -> dict[str, Any]:
        return {"betas": (self.options.beta1, self.options.beta2)}


class _AdEMAMix(_Factory[AdEMAMixOptions]):
    def _arguments(self) -> dict[str, Any]:
        options = self.options
        return {"betas": (options.beta1, options.beta2, options.beta3), "alpha": options.alpha, "eps": options.eps}


class AdamW8bit(_AdamW):
    """AdamW with an 8-bit state."""

    library = optim.AdamW8bit


class PagedAdamW(_AdamW):
    """AdamW with a paged state."""

    library = optim.PagedAdamW


class PagedAdamW8bit(_AdamW):
    """AdamW with a paged 8-bit state."""

    library = optim.PagedAdamW8bit


class Lion(_Lion):
    """Lion."""

    library = optim.Lion


class Lion8bit(_Lion):
    """Lion with an 8-bit state."""

    library = optim.Lion8bit


class PagedLion(_Lion):
    """Lion with a paged state."""

    library = optim.PagedLion


class PagedLion8bit(_Lion):
    """Lion with a paged 8-bit state."""

    library = optim.PagedLion8bit


class AdEMAMix(_AdEMAMix):
    """AdEMAMix."""

    library = optim.AdEMAMix


class AdEMAMix8bit(_AdEMAMix):
    """AdEMAMix with an 8-bit state."""

    library = optim.AdEMAMix8bit
