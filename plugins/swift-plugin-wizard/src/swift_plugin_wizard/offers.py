"""The models that the wizard offers: those on this machine, then a few by size, each with whether it fits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from swift_plan import this_device

_BYTES = 2.6  # per parameter of LoRA with 16-bit weights: the weights, and room for activations
_MOST_LOCAL = 5


@dataclass(frozen=True, slots=True)
class Offer:
    """A model: its reference, what it is called, whether it is here, and whether it fits (None: unknown)."""

    model: str
    title: str
    here: bool
    fits: bool | None


def offers(folder: Path = Path()) -> list[Offer]:
    """Return the offers, those on this machine first."""
    local = list(_local(folder))[:_MOST_LOCAL]
    return [*local, *_known({offer.model for offer in local})]


def first(found: list[Offer]) -> Offer:
    """Return the default: what is here, else the smallest, which fits everywhere."""
    return next((offer for offer in found if offer.here), found[0])


def _local(folder: Path) -> Iterator[Offer]:
    for path in sorted(folder.glob("*/config.json")):
        yield Offer(str(path.parent), path.parent.name, True, None)
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub")
    for path in sorted(cache.glob("models--*--*/snapshots/*/config.json")):
        owner, name = path.parents[2].name.removeprefix("models--").split("--", 1)
        yield Offer(f"hf:{owner}/{name}", name, True, None)


def _known(without: set[str]) -> Iterator[Offer]:
    memory, width = this_device().memory, 2 if this_device().kind != "cpu" else 1
    for row in json.loads((files("swift_plugin_wizard") / "models.json").read_text(encoding="utf-8")):
        if row["model"] not in without:
            needed = row["parameters"] * 1e9 * _BYTES * (2 / width)
            yield Offer(row["model"], row["title"], False, needed < memory if memory else None)
