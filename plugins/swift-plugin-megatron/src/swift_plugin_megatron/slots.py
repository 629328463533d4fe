"""A model's weights, each with its place: the tables of `maps` applied to the weights that there are.

Every process works out all slots of the whole model alike, so that it knows what the others hold.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from swift_plugin_megatron.maps import Architecture, Entry, Kind

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "output_layer.weight"


@dataclass(frozen=True, slots=True)
class Slot:
    """Weights of transformers and where they are in megatron-core.

    Args:
        theirs: names in transformers.
        ours: name in the stage's GPTModel; with `{expert}`, counted from 0 in each process.
        stage: the pipeline's stage, over all chunks.
        tied: the last stage's copy of the embeddings, which are the head too.
    """

    theirs: tuple[str, ...]
    ours: str
    kind: Kind
    stage: int
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Stages:
    """So many decoder layers in so many stages of the same length."""

    layers: int
    stages: int

    def place(self, layer: int) -> tuple[int, int]:
        """The stage of a layer, and its number in it."""
        return divmod(layer, self.layers // self.stages)

    @property
    def last(self) -> int:
        """The stage with the head."""
        return self.stages - 1


def slots_of(architecture: Architecture, names: Collection[str], stages: Stages) -> list[Slot]:
    """Every weight's place.

    Args:
        names: transformers' names of the model's own weights, without an adapter's.

    Raises:
        UsageError: the table does not name a weight, or names others beside some that are there.
    """
    found: list[Slot] = []
    for entry in architecture.entries:
        layers = range(stages.layers) if "{layer}" in entry.ours else (0,)
        suffixes = ("weight", "bias") if entry.ours.endswith("*") else ("",)
        for layer, suffix in product(layers, suffixes):
            slot = _slot(entry, layer, suffix, stages)
            here = [name for name in slot.theirs if name in names]
            if here and len(here) < len(slot.theirs):
                raise _unmapped(f"has {here[0]} without {next(name for name in slot.theirs if name not in names)}")
            if here:
                found.append(slot)
    mapped = {name for slot in found for name in slot.theirs}
    if left := [name for name in names if name not in mapped]:
        raise _unmapped(f"has {len(left)} weights that its map does not name, such as {left[0]}")
    if stages.stages > 1 and not any(slot.ours == HEAD for slot in found):
        found.append(Slot((EMBEDDINGS,), HEAD, "vocabulary", stages.last, tied=True))
    return found


def _slot(entry: Entry, layer: int, suffix: str, stages: Stages) -> Slot:
    stage, number = stages.place(layer)
    if "{layer}" not in entry.ours:
        stage = 0 if entry.ours.startswith("embedding.") else stages.last
    theirs = tuple(_named(name, layer, suffix) for name in entry.theirs)
    return Slot(theirs, _named(entry.ours, number, suffix), entry.kind, stage)


def _named(pattern: str, layer: int, suffix: str) -> str:
    return pattern.replace("{layer}", str(layer)).replace("*", suffix)


def _unmapped(what: str) -> UsageError:
    hint = "Use --parallel fsdp; or write a map of it (swift_plugin_megatron.maps)."
    return UsageError(f"megatron can't hold this model: it {what}", where="parallel", hint=hint)
