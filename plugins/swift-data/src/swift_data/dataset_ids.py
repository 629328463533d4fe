"""Datasets that have another id on each hub, or are on one hub alone: a name is asked of no hub where it is not that dataset's.

`dataset_ids.json` has their ids by hub, as facts from the list of datasets that ms-swift registers (4.6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

from swift_core.contract import UsageError


@cache
def _by_id() -> Mapping[str, Mapping[str, str]]:
    """Map an id to the ids of its dataset by hub. An id that two datasets have on different hubs is left out."""
    entries = json.loads(resources.files("swift_data").joinpath("dataset_ids.json").read_text(encoding="utf-8"))
    found: dict[str, Mapping[str, str]] = {}
    for entry in entries:
        for name in set(entry.values()):
            found[name] = entry if found.get(name, entry) == entry else {}
    return found


def place_of(name: str, hub: str, where: str) -> tuple[str, str]:
    """Return the hub and the id of a bare name there; ('', name) if nothing is known of it.

    Args:
        name: `owner/name` without a hub.
        hub: the hub that the user names; '' for none.
        where: the place of the value, for errors.

    Raises:
        UsageError: the dataset is not on the hub that the user names.
    """
    ids = _by_id().get(name, {})
    if not ids:
        return "", name
    if hub in ids:
        return hub, ids[hub]
    if hub and len(set(ids.values())) == 1 and ids.get("ms") == name:
        other = next(iter(ids))
        message = f"'{name}' is a dataset of {other}: alone; the same name on {hub}: may belong to someone else"
        raise UsageError(message, code="DATA-164", where=where, hint=f"Write {other}:{name}, or {hub}:{name} if you mean that one.")
    if hub:
        return "", name
    homes = [scheme for scheme, own in ids.items() if own == name]
    return (homes[0], name) if len(homes) == 1 else ("", name)
