"""Manifests as YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def yaml_text(documents: Iterable[Any]) -> str:
    """Return documents as YAML, in their order, without anchors, which are hard to read and to patch."""
    import yaml

    class Whole(yaml.SafeDumper):
        """Write what occurs twice twice."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    return str(yaml.dump_all(documents, Dumper=Whole, sort_keys=False, allow_unicode=True))
