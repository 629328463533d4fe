"""ms-swift's names of model types (`--model_type qwen3_emb`), of which a checkpoint's config.json says as much."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

from swift_core.contract import ModelFamily, Settings, VerbSpec
from swift_core.plugins import registry


def apply(verb: VerbSpec, settings: Settings) -> Iterator[str]:
    """Leave out the option `family` where its value is such a name and no family here, with a note."""
    name = str(settings.given("family") or "")
    if not name or name not in _model_types() or registry().matching(ModelFamily, name):
        return
    settings.set("family", "")
    yield f"--model_type {name} has no effect: the family follows from the checkpoint's config.json"


@cache
def _model_types() -> frozenset[str]:
    """The names, as facts from the list that ms-swift registers (4.6)."""
    text = resources.files("swift_plugin_families").joinpath("model_types.txt").read_text(encoding="utf-8")
    return frozenset(text.split())
