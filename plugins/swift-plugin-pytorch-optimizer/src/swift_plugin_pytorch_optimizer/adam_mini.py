"""Adam-mini (Zhang et al. 2024, https://arxiv.org/abs/2406.16793): a second moment for each head of queries and keys, or other matrix.

The library's class makes groups of the weights of a whole model by their names; here they are those of the tuner and the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytorch_optimizer as library
from swift_train.adapters import inner_model
from swift_train.parameter_groups import split_by_decay
from torch.nn import Module

if TYPE_CHECKING:
    from swift_train.optimizer_options import AdamOptions


class AdamMini:
    """Makes the library's AdamMini."""

    def __init__(self, options: AdamOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[dict[str, Any]], lr: float) -> Any:
        """Return the optimizer over groups whose matrices have one second moment each: without the model, none is known to have heads."""
        own = [
            {**group, "params": [weight], "name": ""}
            for group in split_by_decay(groups, lr, self.options.weight_decay)
            for weight in group["params"]
        ]
        return self._made(Module(), own, lr, num_embeds=1, num_heads=1)

    def build_for(self, model: Module, groups: Sequence[dict[str, Any]], lr: float) -> Any:
        """Return the optimizer over the trainable weights of a model."""
        names = {id(weight): name for name, weight in model.named_parameters()}
        config = inner_model(model).config.get_text_config()
        heads = config.num_attention_heads
        keys = getattr(config, "num_key_value_heads", None) or heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        own = []
        for group in split_by_decay(groups, lr, self.options.weight_decay):
            for weight in group["params"]:
                name = names[id(weight)]
                rows = {"parameter_per_head": head_dim * weight.shape[-1]} if any(block in name for block in _BY_HEAD) else {}
                own.append({**group, **rows, "params": [weight], "name": name})
        return self._made(model, own, lr, num_embeds=config.hidden_size, num_heads=heads, num_query_groups=keys)

    def _made(self, model: Module, groups: list[dict[str, Any]], lr: float, **sizes: Any) -> Any:
        options = self.options
        return _Grouped(model, groups, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps, foreach=False, **sizes)


_BY_HEAD = ("q_proj.weight", "k_proj.weight", "wq.weight", "wk.weight")  # as in the library


class _Grouped(library.AdamMini):
    def __init__(self, model: Module, groups: list[dict[str, Any]], *, num_embeds: int, num_heads: int, **settings: Any) -> None:
        self._own = groups
        embeds = num_embeds - num_embeds % num_heads or num_heads  # the library wants a multiple; heads have their sizes from the groups
        super().__init__(model, num_embeds=embeds, num_heads=num_heads, **settings)

    def get_optimizer_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return the groups that were given."""
        return self._own
