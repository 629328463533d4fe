"""megatron-core's mixture of experts on any device: its layer, router and experts, with the exchange of tokens done anew.

megatron-core's own exchanges put what they receive on CUDA, and the one that gathers wants as many tokens on each process; here each has
tokens of its own: of its rows, or of those that it shares with others (`sequence`, `swift_train.context_parallel`). Every process gets the
tokens of all, computes those that its experts are chosen for, and the results are added up. Experts are whole, whatever other layers are
cut into.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.transformer.moe.moe_layer import MoELayer
from megatron.core.transformer.moe.router import TopKRouter
from megatron.core.transformer.moe.token_dispatcher import MoEAllGatherTokenDispatcher
from torch import Tensor
from torch.nn import functional

from swift_plugin_megatron import groups
from swift_plugin_megatron.collectives import gather_rows, scatter_rows


def use(layer: Any) -> None:
    """Put our mixture into the specification of a layer."""
    layer.mlp = partial(MoE, submodules=replace(layer.mlp.keywords["submodules"], router=Router))


class Router(TopKRouter):
    """Its scores are computed where its weights are."""

    def gating(self, input: Tensor) -> Tensor:
        """Scores of each token for each expert."""
        return functional.linear(input, self.weight)


class MoE(MoELayer):
    """The layer with our exchange."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.config = copy(self.config)
        self.config.sequence_parallel = groups.tensor().size() > 1  # it is asked for, though what exchanges the tokens is ours
        self.token_dispatcher = Exchange(
            self.num_local_experts, self.local_expert_indices, config=self.config, pg_collection=more["pg_collection"]
        )


class Exchange(MoEAllGatherTokenDispatcher):
    """Gathers tokens from the processes of an expert group, each of which has its own number of them."""

    def token_dispatch(self, hidden_states: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens of all, and their weights for each expert."""
        if self.ep_size > 1:
            counts = [torch.zeros(1, dtype=torch.int64, device=probs.device) for _ in range(self.ep_size)]
            dist.all_gather(counts, torch.tensor([len(probs)], device=probs.device), group=self.ep_group)
            self.counts = [int(count) for count in counts]
            self.routing_map = gather_rows(self.routing_map.to(probs.dtype), self.counts, self.ep_group).bool()
            probs, hidden_states = (gather_rows(each, self.counts, self.ep_group) for each in (probs, hidden_states))
        return hidden_states, probs

    def token_combine(self, hidden_states: Tensor) -> Tensor:
        """What all experts gave for this process's tokens."""
        return scatter_rows(hidden_states, self.counts, self.ep_group) if self.ep_size > 1 else hidden_states
