"""megatron-core's mixture of experts on any device: its layer, router and experts, with another token dispatcher.

megatron-core's own dispatchers run on CUDA, and its all-gather dispatcher requires the same number of tokens on each process. Here each
process has its own number of tokens: those of its rows, or a shard of them (`sequence_parallel`, context parallelism). Every process gets
the tokens of all, computes those that are routed to its experts, and the results are reduce-scattered. Experts are never sharded by tensor
parallelism.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from megatron.core.transformer.moe.moe_layer import MoELayer
from megatron.core.transformer.moe.moe_utils import MoEAuxLossAutoScaler
from megatron.core.transformer.moe.router import TopKRouter
from megatron.core.transformer.moe.token_dispatcher import MoEAllGatherTokenDispatcher
from torch import Tensor
from torch.nn import functional

from swift_plugin_megatron import groups
from swift_plugin_megatron.collectives import gather_tokens, scatter_tokens

if TYPE_CHECKING:
    from swift_plugin_megatron.options import MegatronOptions


def apply_to(layer: Any) -> None:
    """Put the mixture of experts of this module into a layer specification."""
    layer.mlp = partial(MixtureOfExperts, submodules=replace(layer.mlp.keywords["submodules"], router=Router))


def balancing(options: MegatronOptions | None) -> dict[str, Any]:
    """Return the fields of TransformerConfig for the losses of routers and the capacity of experts."""
    if options is None or not (options.router_loss or options.router_z_loss or options.expert_capacity):
        return {"moe_router_load_balancing_type": "none"}
    return {
        "moe_router_load_balancing_type": "aux_loss" if options.router_loss else "none",
        "moe_aux_loss_coeff": options.router_loss,
        "moe_z_loss_coeff": options.router_z_loss or None,
        "moe_expert_capacity_factor": options.expert_capacity,
    }


def scale_router_losses(scale: float, device: torch.device) -> None:
    """Set the factor of the gradients of router losses in the next backward pass: a router loss counts as much as the micro-batch does."""
    MoEAuxLossAutoScaler.set_loss_scale(torch.tensor(scale, device=device))


class Router(TopKRouter):  # type: ignore[misc]
    """megatron-core's router, with scores computed on the device of its weights."""

    def gating(self, input: Tensor) -> Tensor:
        """Return the scores (tokens, 1, experts)."""
        return functional.linear(input, self.weight)


class MixtureOfExperts(MoELayer):  # type: ignore[misc]
    """megatron-core's layer with `TokenDispatcher`."""

    config: Any

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.config = copy(self.config)
        self.config.sequence_parallel = groups.tensor().size() > 1  # required by the layer, although it does not communicate itself
        self.token_dispatcher = TokenDispatcher(
            self.num_local_experts, self.local_expert_indices, config=self.config, pg_collection=more["pg_collection"]
        )


class TokenDispatcher(MoEAllGatherTokenDispatcher):  # type: ignore[misc]
    """All-gather dispatcher of an expert-parallel group whose processes have different numbers of tokens."""

    routing_map: Tensor

    def token_dispatch(self, hidden_states: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens of all processes, and their probabilities for each expert."""
        if self.ep_size > 1:
            counts = [torch.zeros(1, dtype=torch.int64, device=probs.device) for _ in range(self.ep_size)]
            dist.all_gather(counts, torch.tensor([len(probs)], device=probs.device), group=self.ep_group)
            self.counts = [int(count) for count in counts]
            self.routing_map = gather_tokens(self.routing_map.to(probs.dtype), self.counts, self.ep_group).bool()
            probs, hidden_states = (gather_tokens(each, self.counts, self.ep_group) for each in (probs, hidden_states))
        return hidden_states, probs

    def token_combine(self, hidden_states: Tensor) -> Tensor:
        """Return the sum of all experts' outputs for this process's tokens."""
        return scatter_tokens(hidden_states, self.counts, self.ep_group) if self.ep_size > 1 else hidden_states
