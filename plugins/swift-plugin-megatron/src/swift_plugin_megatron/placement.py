"""A model's weights, each with its place: the tables of `maps` applied to the weights that there are.

Every process works out all slots of the whole model alike, so that it knows what the others hold.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from swift_core.contract.errors import UsageError

if TYPE_CHECKING:
    from swift_plugin_megatron.maps import Architecture, Entry, Kind

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "output_layer.weight"


@dataclass(frozen=True, slots=True)
class Placement:
    """Weights of transformers and where they are in megatron-core.

    Args:
        theirs: names in transformers.
        ours: name in the stage's GPTModel, where layers and experts are counted from 0 in each process.
        stage: the pipeline's stage, over all chunks.
        tied: the last stage's copy of the embeddings, which are the head too.
        expert, share: of a layer's experts which one it is, and which process of an expert group has it; None where it is no expert's.
    """

    theirs: tuple[str, ...]
    ours: str
    kind: Kind
    stage: int
    tied: bool = False
    expert: int | None = None
    share: int | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """So many decoder layers in so many stages of the same length, and so many experts a layer dealt out in so many shares."""

    layers: int
    stages: int
    experts: int = 0
    shares: int = 1

    def place(self, layer: int) -> tuple[int, int]:
        """The stage of a layer, and its number in it."""
        return divmod(layer, self.layers // self.stages)

    @property
    def last(self) -> int:
        """The stage with the head."""
        return self.stages - 1


def place_weights(architecture: Architecture, names: Collection[str], places: Partition) -> list[Placement]:
    """Every weight's place.

    Args:
        names: transformers' names of the model's own weights, without an adapter's.

    Raises:
        UsageError: the table does not name a weight, or names others beside some that are there.
    """
    found: list[Placement] = []
    for entry in architecture.entries:
        layers = range(places.layers) if "{layer}" in entry.ours else (0,)
        suffixes = ("weight", "bias") if entry.ours.endswith("*") else ("",)
        for layer, suffix in product(layers, suffixes):
            slot = _slot(entry, layer, suffix, places)
            here = [name for name in slot.theirs if name in names]
            if here and len(here) < len(slot.theirs):
                raise _unmapped(f"has {here[0]} without {next(name for name in slot.theirs if name not in names)}")
            if here:
                found += [slot] if slot.kind != "experts" else [_of_expert(slot, expert, places) for expert in range(places.experts)]
    mapped = {name for slot in found for name in slot.theirs}
    if left := [name for name in names if name not in mapped]:
        raise _unmapped(f"has {len(left)} weights that its map does not name, such as {left[0]}")
    if places.stages > 1 and not any(slot.ours == HEAD for slot in found):
        found.append(Placement((EMBEDDINGS,), HEAD, "vocabulary", places.last, tied=True))
    return found


def _slot(entry: Entry, layer: int, suffix: str, places: Partition) -> Placement:
    stage, number = places.place(layer)
    if "{layer}" not in entry.ours:
        stage = 0 if entry.ours.startswith("embedding.") else places.last
    theirs = tuple(_named(name, layer, suffix) for name in entry.theirs)
    return Placement(theirs, _named(entry.ours, number, suffix), entry.kind, stage)


def _of_expert(slot: Placement, expert: int, places: Partition) -> Placement:
    share, number = divmod(expert, places.experts // places.shares)
    return replace(slot, ours=slot.ours.replace("{expert}", str(number)), expert=expert, share=share)


def _named(pattern: str, layer: int, suffix: str) -> str:
    return pattern.replace("{layer}", str(layer)).replace("*", suffix)


def _unmapped(what: str) -> UsageError:
    hint = "Use --parallel fsdp; or write a map of it (swift_plugin_megatron.maps)."
    return UsageError(f"megatron can't hold this model: it {what}", where="parallel", hint=hint)
