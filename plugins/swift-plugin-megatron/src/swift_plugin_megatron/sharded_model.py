"""This process's shard of the model: its pipeline stages with its shards of the weights, and gathering full weights again."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.broadcast_loading import broadcast_parameters
from swift_train.float8 import float8_layers
from torch import nn

from swift_core.contract import UsageError
from swift_plugin_megatron import groups, layout, lora
from swift_plugin_megatron.check import unsupported_settings
from swift_plugin_megatron.conversion import WeightConverter
from swift_plugin_megatron.float8 import compute_in_float8
from swift_plugin_megatron.gradients import TrainableShard
from swift_plugin_megatron.layout import Heads
from swift_plugin_megatron.maps import architectures
from swift_plugin_megatron.model import Stage, megatron_config
from swift_plugin_megatron.placement import HEAD, Partition, Placement, place_weights
from swift_plugin_megatron.sizes import size_problems

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from swift_core.contract import Problem
    from swift_plugin_megatron.maps import Architecture
    from swift_plugin_megatron.options import MegatronOptions
    from swift_plugin_megatron.sizes import Sizes


class ShardedModel:
    """This process's stages of a transformers model, whose own weights are freed. Collective.

    Args:
        module: the model with its tuner, from `swift_train.broadcast_loading.load_on_first_rank`.
        dtype: compute type of the passes.

    Raises:
        UsageError: megatron-core does not support the model, the sizes or the tuner.
    """

    def __init__(self, module: Any, options: MegatronOptions, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> None:
        hf_config = module.config
        architecture = architectures()[hf_config.model_type]
        settings = hf_config.to_dict()
        raise_first([*unsupported_settings(architecture, settings), *size_problems(options, sizes.processes, settings)])
        self.sizes, self.dtype = sizes, dtype
        self.pipeline_rank, self.expert_rank = dist.get_rank(groups.pipeline()), dist.get_rank(groups.experts())
        weights: dict[str, Parameter] = dict(module.named_parameters())
        config = megatron_config(hf_config, architecture, sizes, dtype, options)
        partition = Partition(
            hf_config.num_hidden_layers, sizes.stages, config.num_moe_experts or 0, sizes.expert, sizes.first_layers, sizes.last_layers
        )
        base = _base_placements(architecture, weights, partition)
        adapters = lora.find_adapters(module, base)
        self.placements = [*base, *lora.adapter_placements(base, adapters)]
        _check_trainable(self.placements, weights, partition)
        self.dtypes = {name: torch.float32 if weight.requires_grad else weight.dtype for name, weight in weights.items()}
        heads = Heads(config.num_attention_heads, config.num_query_groups, config.kv_channels)
        self.converter = WeightConverter(sizes, heads, {name: weight.shape for name, weight in weights.items()}, device)
        rotary = next(part for name, part in module.named_modules() if name.endswith("rotary_emb"))
        tied = not any(placement.mcore_name == HEAD for placement in base)
        padding_id = getattr(module.get_input_embeddings(), "padding_idx", None)
        self.chunks: list[Stage] = []
        for chunk in range(sizes.chunks):
            number = chunk * sizes.pipeline + self.pipeline_rank
            stage = Stage(
                hf_config, config, rotary, chunk=chunk, sequence_parallel=sizes.sequence, is_first=number == 0,
                is_last=number == partition.last, tied=tied, padding_id=padding_id,
            )  # fmt: skip
            self.chunks.append(stage)
        self.stages = nn.ModuleList(self.chunks)
        for placement in base:
            if self.is_local(placement) and not placement.tied:
                linear = self.stages.get_submodule(self.parameter_name(placement).rpartition(".")[0])
                lora.attach(linear, placement, adapters, self.converter.heads)
        if getattr(module, "is_activation_checkpointing", False):
            for stage in self.chunks:
                stage.enable_checkpointing()
        float8 = float8_layers(module)
        chosen = [each for each in base if self.is_local(each) and not each.tied and float8.issuperset(each.hf_names)]
        self._load(weights, device)
        layers = [self.stages.get_submodule(self.parameter_name(placement).rpartition(".")[0]) for placement in chosen]
        self.float8_layers = compute_in_float8(layers, device) if chosen else 0

    @property
    def local_placements(self) -> list[Placement]:
        """The placements that this process has a shard of."""
        return [placement for placement in self.placements if self.is_local(placement)]

    def is_local(self, placement: Placement) -> bool:
        """Return whether this process has a shard of a placement."""
        return placement.stage % self.sizes.pipeline == self.pipeline_rank and placement.expert_rank in (None, self.expert_rank)

    def parameter_name(self, placement: Placement) -> str:
        """Return the name of a placement's parameter in `stages`."""
        return f"{placement.stage // self.sizes.pipeline}.model.{placement.mcore_name}"

    def full_weights(self, shard_of: Callable[[str], Tensor], names: Container[str] | None) -> Iterator[tuple[str, Tensor]]:
        """Yield full weights under transformers' names, one placement at a time. Collective.

        Args:
            shard_of: returns this process's shard, by parameter name in `stages`.
            names: the weights to yield; None for all.
        """
        for hf_names, placements in _grouped(placement for placement in self.placements if not placement.tied):
            if names is None or any(name in names for name in hf_names):
                shards = [shard_of(self.parameter_name(placement)) for placement in placements if self.is_local(placement)]
                for name, weight in self.converter.gather(placements[0], shards, self.dtypes[hf_names[0]]):
                    if names is None or name in names:
                        yield name, weight

    def trainable_shard(self, placement: Placement, parameter: Parameter) -> TrainableShard:
        """Return how the gradient of a placement's parameter is summed and counted."""
        if placement.expert_rank is not None:
            copies = self.sizes.processes // self.sizes.pipeline // self.sizes.expert
            return TrainableShard(parameter, copies, (groups.expert_replicas(),))
        tied = any(other.tied and other.hf_names == placement.hf_names for other in self.placements)
        replicated = layout.shard_dimension(placement.kind, parameter.ndim) is None
        copies = self.sizes.replicas * (self.sizes.tensor if replicated else 1) * (2 if tied else 1)
        partial = replicated and (self.sizes.sequence or placement.kind == "heads")  # of some tokens, or of some heads
        summed = [*([groups.tensor()] if partial else []), *([groups.embedding()] if tied else []), groups.replicas()]
        return TrainableShard(parameter, copies, tuple(summed))

    def _load(self, weights: dict[str, Parameter], device: torch.device) -> None:
        """Load the shards, one placement at a time and tied copies first, since the full weights are freed afterwards."""
        for names, placements in _grouped(sorted(self.placements, key=lambda placement: not placement.tied)):
            broadcast_parameters([weights[name] for name in names], device)
            for placement in placements:
                if self.is_local(placement):
                    self._load_shard(placement, weights)
            if not placements[0].tied:
                for name in names:
                    weights[name].data = weights[name].data.new_empty(0)
        self.stages.to(device)

    def _load_shard(self, placement: Placement, weights: dict[str, Parameter]) -> None:
        parameter = self.stages.get_parameter(self.parameter_name(placement))
        parameter.requires_grad_(weights[placement.hf_names[0]].requires_grad)
        shard = self.converter.shard(placement, {name: weights[name].detach() for name in placement.hf_names})
        parameter.data = shard.to(torch.float32 if parameter.requires_grad else self.dtype, copy=True).contiguous()


def raise_first(problems: Iterable[Problem]) -> None:
    """Raise the first problem, if there is one, as a UsageError."""
    for problem in problems:
        raise UsageError(problem.message, code=problem.code, where=problem.where, hint=problem.hint)


def _base_placements(architecture: Architecture, names: Iterable[str], partition: Partition) -> list[Placement]:
    """Place the model's own weights, under the names that they have in the model with its adapter."""
    actual = {lora.base_name(name): name for name in names if not lora.is_adapter_weight(name)}
    placements = place_weights(architecture, actual, partition)
    return [replace(placement, hf_names=tuple(actual[name] for name in placement.hf_names)) for placement in placements]


def _grouped(placements: Iterable[Placement]) -> Iterator[tuple[tuple[str, ...], list[Placement]]]:
    """Group the placements of the same transformers weights, such as the experts of a layer."""
    for (hf_names, _), found in groupby(placements, key=lambda placement: (placement.hf_names, placement.tied)):
        yield hf_names, list(found)


def _check_trainable(placements: Iterable[Placement], weights: dict[str, Parameter], partition: Partition) -> None:
    trainable_stages = set()
    for placement in placements:
        trainable = {weights[name].requires_grad for name in placement.hf_names}
        if len(trainable) > 1:
            names = " and ".join(map(lora.base_name, placement.hf_names))
            message = f"{names} are one fused weight in megatron, but only some of them are trainable"
            raise UsageError(message, code="PARALLEL-027", where="tuner", hint="Train or freeze them together, or use --parallel fsdp.")
        if trainable == {True}:
            trainable_stages.add(placement.stage)
    if frozen := [stage for stage in range(partition.stages) if stage not in trainable_stages]:
        hint = "Train layers of every stage, or use a smaller --parallel.pipeline."
        raise UsageError(
            f"pipeline stage {frozen[0] + 1} of {partition.stages} has no trainable weights", code="PARALLEL-028", where="tuner", hint=hint
        )
