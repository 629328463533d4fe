"""Licence and origin of a data set or checkpoint, from what its source states: spec, manifest, or the header of its card (README.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import DataChoice, DatasetSpec, SwiftError
from swift_core.plugins import Registry

_HEADER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LARGEST = 1_000_000  # bytes of a card


@dataclass(frozen=True, slots=True)
class Terms:
    """The licence as its source names it, and where it is from; '' where nothing is stated."""

    licence: str = ""  # name or SPDX identifier
    origin: str = ""  # where it is from


def terms_of_data(choice: DataChoice, known: Registry) -> Terms:
    """Return the terms of a data set of a run: as its plugin states them, or the card beside a local file."""
    spec = known.spec(choice, DatasetSpec)
    if spec.licence:
        return Terms(spec.licence, spec.origin)
    path = str(choice.options.get("path", "")) or choice.asked
    place = Path(path.removeprefix("file:")).expanduser()
    while any(mark in place.name for mark in "*?["):
        place = place.parent
    for folder in (place, place.parent, place.parent.parent):
        if folder.is_dir() and (found := _stated(folder)).licence:
            return Terms(found.licence, found.origin or path)
    return Terms("", spec.origin or path)


def terms_of_checkpoint(folder: Path, reference: str = "") -> Terms:
    """Return the terms of a checkpoint; one that states none has those of the checkpoint it was made from."""
    seen: set[Path] = set()
    place, origin = folder, reference
    while place.is_dir() and place.resolve() not in seen:
        seen.add(place.resolve())
        found = _stated(place)
        origin = origin or found.origin
        if found.licence:
            return Terms(found.licence, origin)
        with suppress(SwiftError):
            if (manifest := Checkpoint.at(place).manifest) and manifest.base.get("path"):
                place = Path(manifest.base["path"])
    return Terms("", origin)


def card_header(text: str) -> Mapping[str, Any]:
    """Return the YAML header of a card in Hugging Face's format; {} if it has none that can be read."""
    import yaml

    header = _HEADER.match(text)
    try:
        found = yaml.safe_load(header[1]) if header else None
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _stated(folder: Path) -> Terms:
    """Return what the manifest and the card of a folder state."""
    licence = origin = ""
    with suppress(SwiftError):
        if manifest := Checkpoint.at(folder).manifest:
            licence, origin = manifest.licence, manifest.origin
    card = folder / "README.md"
    if not licence and card.is_file() and card.stat().st_size <= _LARGEST:
        header = card_header(card.read_text(encoding="utf-8", errors="replace"))
        named = header.get("license_name") if header.get("license") == "other" else header.get("license")
        licence = ", ".join(map(str, named)) if isinstance(named, list) else str(named or "")
    return Terms(licence, origin)
