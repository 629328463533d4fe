"""The placement of each weight: the entries of `maps` applied to the weights of a model.

Every process computes the placements of the whole model, so it knows what the others hold.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from swift_core.contract import UsageError
from swift_plugin_megatron.sizes import stage_lengths

if TYPE_CHECKING:
    from swift_plugin_megatron.maps import Architecture, Entry, Kind

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "output_layer.weight"


@dataclass(frozen=True, slots=True)
class Placement:
    """Weights of transformers and their place in megatron-core.

    Args:
        hf_names: names in transformers.
        mcore_name: name in the stage's GPTModel, where layers and experts are numbered from 0 in each process.
        stage: pipeline stage, counted over all chunks.
        tied: the last stage's copy of an embedding that is also the head.
        expert: index of the expert in its layer; None for weights outside experts.
        expert_rank: the process of an expert group that holds it; None for weights outside experts.
    """

    hf_names: tuple[str, ...]
    mcore_name: str
    kind: Kind
    stage: int
    tied: bool = False
    expert: int | None = None
    expert_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """Number of decoder layers, of pipeline stages, of experts per layer, and of expert-parallel ranks.

    The stages have equally many layers, but for the first and the last one if `first` and `final` say theirs.
    """

    layers: int
    stages: int
    experts: int = 0
    expert_ranks: int = 1
    first: int | None = None
    final: int | None = None

    def locate(self, layer: int) -> tuple[int, int]:
        """Return the stage of a layer, and the layer's index in it."""
        start = 0
        for stage, length in enumerate(stage_lengths(self.layers, self.stages, self.first, self.final)):
            if layer < start + length:
                return stage, layer - start
            start += length
        raise IndexError(layer)

    @property
    def last(self) -> int:
        """The stage with the head."""
        return self.stages - 1


def place_weights(architecture: Architecture, names: Collection[str], partition: Partition) -> list[Placement]:
    """Return the placement of every weight.

    Args:
        names: names of the model's weights in transformers, without those of adapters.

    Raises:
        UsageError: the map does not name a weight, or a fused weight is incomplete.
    """
    found: list[Placement] = []
    for entry in architecture.entries:
        layers = range(partition.layers) if "{layer}" in entry.mcore_name else (0,)
        suffixes = ("weight", "bias") if entry.mcore_name.endswith("*") else ("",)
        for layer, suffix in product(layers, suffixes):
            placement = _place(entry, layer, suffix, partition)
            present = [name for name in placement.hf_names if name in names]
            if present and len(present) < len(placement.hf_names):
                raise _unmapped(f"has {present[0]} without {next(name for name in placement.hf_names if name not in names)}")
            if present and placement.kind == "experts":
                found += [_place_expert(placement, expert, partition) for expert in range(partition.experts)]
            elif present:
                found.append(placement)
    mapped = {name for placement in found for name in placement.hf_names}
    if unmapped := [name for name in names if name not in mapped]:
        raise _unmapped(f"has {len(unmapped)} weights that its map does not name, such as {unmapped[0]}")
    if partition.stages > 1 and not any(placement.mcore_name == HEAD for placement in found):
        found.append(Placement((EMBEDDINGS,), HEAD, "vocabulary", partition.last, tied=True))
    return found


def _place(entry: Entry, layer: int, suffix: str, partition: Partition) -> Placement:
    stage, index = partition.locate(layer)
    if "{layer}" not in entry.mcore_name:
        stage = 0 if entry.mcore_name.startswith("embedding.") else partition.last
    hf_names = tuple(_substitute(name, layer, suffix) for name in entry.hf_names)
    return Placement(hf_names, _substitute(entry.mcore_name, index, suffix), entry.kind, stage)


def _place_expert(placement: Placement, expert: int, partition: Partition) -> Placement:
    rank, index = divmod(expert, partition.experts // partition.expert_ranks)
    return replace(placement, mcore_name=placement.mcore_name.replace("{expert}", str(index)), expert=expert, expert_rank=rank)


def _substitute(pattern: str, layer: int, suffix: str) -> str:
    return pattern.replace("{layer}", str(layer)).replace("*", suffix)


def _unmapped(reason: str) -> UsageError:
    hint = "Use --parallel fsdp, or write a weight map for it (swift_plugin_megatron.maps)."
    return UsageError(f"megatron can't convert this model: it {reason}", code="PARALLEL-026", where="parallel", hint=hint)
